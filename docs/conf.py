"""Sphinx: `make docs` builds the site in docs/_build/html. The pages are readable without it."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(Path(__file__).parents[1]))

from ghostexp import __version__

project = "ghostexp"
author = copyright = "the ghostexp authors"
version = release = __version__

extensions = ["myst_nb", "sphinx.ext.autodoc", "docstrings"]
exclude_patterns = ["_build", "templates"]
html_theme = "furo"
html_title = "ghostexp"
html_copy_source = False

myst_heading_anchors = 4  # links to headings as forges make them
myst_enable_extensions = ["colon_fence"]
nb_execution_mode = "off"  # `make notebook` runs it and keeps what it printed
highlight_language = "none"  # blocks of commands; blocks of code name their language

autodoc_typehints = "signature"
autodoc_typehints_format = "short"
autodoc_member_order = "bysource"
autodoc_preserve_defaults = True
autodoc_default_options = {"members": True}
nitpick_ignore_regex = [
    (r"py:.*", r".*")
]  # torch's and Lightning's pages cannot be reached offline
