"""Values in COCO annotation files as converters write them: numbers as text, in lists, as floats.

What cannot be read as the number that is meant is refused with its file and place in it.
"""

from math import isfinite
from pathlib import Path
from typing import Any

WORDS = {"true": 1, "false": 0, "": 0}

Entry = dict[str, Any]
Key = int | str  # an id, of an image or a category


def number(value: Any) -> int | float | None:
    """A finite number, also as text or in a list of one; None for anything else."""
    if isinstance(value, list) and len(value) == 1:
        value = value[0]
    if isinstance(value, str):
        value = _parsed(value)
    known = isinstance(value, int | float) and isfinite(value)
    return value if known else None


def whole(value: Any) -> int | None:
    """A whole number, also as text, in a list of one, or as 3.0; None for anything else."""
    found = number(value)
    return int(found) if found is not None and found == int(found) else None


def key_of(entry: Entry, name: str, where: str) -> Key:
    """The id at `name`: a whole number, or a text that does not stand for a whole number."""
    value = entry[name]
    found = whole(value)
    if found is None and (not isinstance(value, str) or not value):
        raise ValueError(f"{where} has the {name} {value!r}, which is neither a number nor a text")
    return value if found is None else found


def box_of(entry: Entry, where: str) -> tuple[float, float, float, float]:
    """`bbox` as (left, top, right, bottom)."""
    bbox = entry["bbox"]
    values = [number(value) for value in bbox] if isinstance(bbox, list) else []
    if len(values) != 4 or None in values:
        raise ValueError(
            f"{where} has the bbox {bbox}: four numbers are expected, left, top, width and height"
        )
    left, top, width, height = values
    return left, top, left + width, top + height


def area_of(entry: Entry, box: tuple[float, float, float, float], where: str) -> float:
    """`area`, also of a mask; the box's area where it is absent or a placeholder of 0."""
    value = entry.get("area")
    found = number(value)
    if found is None and value is not None:
        raise ValueError(f"{where} has the area {value!r}: a number is expected")
    return found if found is not None and found > 0 else (box[2] - box[0]) * (box[3] - box[1])


def crowd_of(entry: Entry, where: str) -> bool:
    """`iscrowd`, absent for a single object."""
    value = entry.get("iscrowd")
    if isinstance(value, str):
        value = WORDS.get(value.strip().lower(), value)
    found = 0 if value is None else whole(value)
    if found not in (0, 1):
        raise ValueError(f"{where} has iscrowd={value!r}: 0 or 1 is expected")
    return bool(found)


def size_of(entry: Entry, where: str) -> tuple[int, int]:
    """(width, height); (0, 0) where the entry leaves it to the file, by null, 0, -1 or nothing."""
    values = [entry.get(side) for side in ("width", "height")]
    sides = [0 if value is None else whole(value) for value in values]
    if None in sides or min(sides) < -1:
        raise ValueError(f"{where} has the size {values[0]} x {values[1]}")
    return (sides[0], sides[1]) if min(sides) > 0 else (0, 0)


def file_of(entry: Entry, images: Path, where: str) -> Path:
    """Path of `file_name` below the folder `images`, or the folder above it.

    Back-slashes of Windows separate folders, unless a file bears them in its name.
    """
    name = entry["file_name"]
    if not isinstance(name, str) or not name:
        raise ValueError(f"{where} has the file_name {name!r}: a text is expected")
    forms = [name, name.replace("\\", "/")] if "\\" in name else [name]
    paths = [place / form for place in (images, images.parent) for form in forms]
    return next((path for path in paths if path.is_file()), images / forms[-1])


def _parsed(text: str) -> int | float | None:
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            pass  # not a number of this kind
    return None
