"""A Sphinx extension: our docstrings are plain text with backticks and indented code.

Sphinx reads docstrings as reStructuredText, where code in the text has double backticks and a block
of code needs `::` before it.
"""

import re
from typing import Any

from sphinx.application import Sphinx

INDENTED = re.compile(r"^ {4,}\S")


def to_restructured_text(lines: list[str]) -> list[str]:
    """The lines of a docstring as reStructuredText takes them."""
    taken, in_code = [], False
    for number, line in enumerate(lines):
        begins = not in_code and INDENTED.match(line) and (number == 0 or not lines[number - 1])
        if begins:
            taken += ["::", ""]
        in_code = bool(begins or (in_code and (not line or INDENTED.match(line))))
        taken.append(line if in_code else re.sub(r"(?<!`)`([^`]+)`(?!`)", r"``\1``", _plain(line)))
    return taken


def _plain(line: str) -> str:
    """A line in which `*` and `|` mean themselves."""
    return re.sub(r"([*|])", r"\\\1", line)


def _on_docstring(app: Sphinx, what: str, name: str, thing: Any, options: Any, lines: list[str]):
    lines[:] = to_restructured_text(lines)


def setup(app: Sphinx) -> dict[str, bool]:
    """Called by Sphinx."""
    app.connect("autodoc-process-docstring", _on_docstring)
    return {"parallel_read_safe": True}
