"""A Sphinx extension: our docstrings are plain text with backticks and indented code.

Sphinx reads docstrings as reStructuredText, where code in the text has double backticks and a block
of code needs `::` before it.
"""

import re
from typing import Any

from sphinx.application import Sphinx

INDENTED = re.compile(r"^ {4,}\S")
CODE = re.compile(r"(?<!`)`([^`]+)`(?!`)")


def to_restructured_text(lines: list[str]) -> list[str]:
    """The lines of a docstring as reStructuredText takes them."""
    taken, in_code = [], False
    for number, line in enumerate(lines):
        begins = not in_code and INDENTED.match(line) and (number == 0 or not lines[number - 1])
        if begins:
            taken += ["::", ""]
        in_code = bool(begins or (in_code and (not line or INDENTED.match(line))))
        taken.append(line if in_code else _marked(line))
    return taken


def _marked(line: str) -> str:
    """A line of text: code in double backticks, and `*` and `|` elsewhere meaning themselves."""
    parts = CODE.split(line)
    parts[::2] = [re.sub(r"([*|])", r"\\\1", text) for text in parts[::2]]
    parts[1::2] = [f"``{code}``" for code in parts[1::2]]
    return "".join(parts)


def _on_docstring(app: Sphinx, what: str, name: str, thing: Any, options: Any, lines: list[str]):
    lines[:] = to_restructured_text(lines)


def setup(app: Sphinx) -> dict[str, bool]:
    """Called by Sphinx."""
    app.connect("autodoc-process-docstring", _on_docstring)
    return {"parallel_read_safe": True}
