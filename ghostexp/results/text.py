"""Values and texts of records, made fit to be read: numbers, order, length, shell quoting."""

import math
import re
import shlex
from collections.abc import Iterable
from typing import Any


def as_number(value: Any) -> float | None:
    """`value` as a float; None for an empty cell, a word, a boolean, NaN and infinity."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        number = float(value)
    except (ValueError, OverflowError):  # OverflowError: an integer of hundreds of digits
        return None
    return number if math.isfinite(number) else None


def natural(text: str) -> list[tuple[int, float, str]]:
    """Sort key that orders the numbers in a text by value: ratio=2 before ratio=10."""
    parts = re.split(r"(\d+(?:\.\d+)?)", text)
    return [(0, float(part), "") if i % 2 else (1, 0.0, part) for i, part in enumerate(parts)]


def show(value: Any) -> str:
    """A config value in a cell; blank when unknown."""
    if isinstance(value, float):
        return f"{value:g}"
    return "" if value is None else one_line(str(value))


def short(key: str) -> str:
    """Last part of a dotted key."""
    return key.rpartition(".")[2]


def describe(values: dict[str, Any]) -> str:
    """`vgg16, ratio=2` for the values that are known; most words need no key to be understood."""
    return ", ".join(
        show(value) if _speaks_for_itself(value) else f"{short(key)}={show(value)}"
        for key, value in values.items()
        if value is not None
    )


def one_line(text: str) -> str:
    """`text` with every run of white space as one blank."""
    return " ".join(text.split())


def printable(value: Any) -> Any:
    """`value` with names that are not UTF-8 made writable, in mappings and lists too.

    Python keeps such bytes as half surrogates, which no file, page or picture takes.
    """
    if isinstance(value, str):
        return value.encode("utf-8", "backslashreplace").decode()
    if isinstance(value, dict):
        return {printable(key): printable(item) for key, item in value.items()}
    return [printable(item) for item in value] if isinstance(value, list) else value


def cut(text: str, width: int, head: float = 0.5) -> str:
    """`text` in at most `width` characters, cut in its middle: after a share `head` of them."""
    if len(text) <= width:
        return text
    first = round(head * (width - 1))
    return f"{text[:first]}…{text[len(text) - (width - 1 - first) :]}"


def cut_apart(texts: list[str], width: int) -> list[str]:
    """Each text in at most `width` characters, cut where texts agree: different ones stay so."""
    for head in (0.5, 0.25, 0.75, 0.0, 1.0):
        cuts = [cut(text, width, head) for text in texts]
        if len(set(cuts)) == len(set(texts)):
            return cuts
    numbers = {text: f"{number} " for number, text in enumerate(dict.fromkeys(texts), 1)}
    return [numbers[text] + cut(text, width - len(numbers[text])) for text in texts]


def quoted(command: Any) -> str:
    """A recorded command, a list of words or a line, as a shell takes it.

    A line that `shlex.join` made stays as it is. Any other line was joined without quotes, so that
    blanks are all that separates its words.
    """
    if isinstance(command, list):
        return shlex.join(map(str, command))
    line = str(command)
    try:
        words = shlex.split(line)
    except ValueError:  # a quote that does not end
        words = []
    return line if shlex.join(words) == line else shlex.join(line.split())


def _speaks_for_itself(value: Any) -> bool:
    is_word = as_number(value) is None and not isinstance(value, bool)
    return is_word and str(value).lower() not in ("none", "default", "true", "false")


def table_row(cells: Iterable[str]) -> str:
    """A row of a Markdown table."""
    return f"| {' | '.join(cells)} |"
