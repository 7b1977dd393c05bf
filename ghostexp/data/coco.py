"""COCO annotation files (Lin et al. 2014, cocodataset.org/#format-data) to records.

Categories may have any ids: label k is the k-th category in the order of their ids.
"""

import json
from collections import Counter, defaultdict
from dataclasses import dataclass
from math import isfinite
from pathlib import Path
from typing import Any

from ghostexp.data.boxes import DetectionSet, Object, Record, check_files, clean, make_record

FIELDS = {
    "images": ("id", "file_name", "width", "height"),
    "annotations": ("id", "image_id", "category_id", "bbox"),
    "categories": ("id", "name"),
}
Entry = dict[str, Any]


@dataclass(frozen=True)
class CocoFiles:
    """Annotation files of the splits, `val` or none, and their folder of images, below a root."""

    train: str = "annotations/train.json"
    val: str | None = "annotations/val.json"
    test: str = "annotations/test.json"
    images: str = "images"

    def splits(self, root: Path) -> dict[str, tuple[Path, Path]]:
        """(annotation file, folder of the images) of each split."""
        names = {"train": self.train, "val": self.val, "test": self.test}
        return {
            split: (root / name, root / self.images)
            for split, name in names.items()
            if name is not None
        }


def load_coco(splits: dict[str, tuple[Path, Path]], *, on_bad_box: str) -> DetectionSet:
    """Records of the splits train, test and maybe val; their categories must be the same."""
    records: dict[str, list[Record]] = {"val": []}
    categories: dict[int, str] = {}
    for split, (path, images) in splits.items():
        records[split], found = read_coco(path, images, on_bad_box=on_bad_box)
        if split != "train" and found != categories:
            one = ", ".join(
                sorted(f"{key} {name}" for key, name in found.items() ^ categories.items())
            )
            raise ValueError(
                f"{splits['train'][0]} and {path} differ in their categories: {one} is in one only"
            )
        categories = found
    return DetectionSet(list(categories.values()), list(categories), **records, pixels={})


def read_coco(path: Path, images: Path, *, on_bad_box: str) -> tuple[list[Record], dict[int, str]]:
    """Records of an annotation file, whose images are in a folder, and the names by category id.

    An `area` is kept as it is written, it may be that of a mask; elsewhere it is the box's.
    """
    data = _parse(path)
    parts = {name: _entries(data, name, path) for name in FIELDS}
    if not parts["images"]:
        raise ValueError(f"{path} lists no image")
    categories = {entry["id"]: str(entry["name"]) for entry in parts["categories"]}
    categories = dict(sorted(categories.items()))
    _check_known(parts["annotations"], "image_id", {entry["id"] for entry in parts["images"]}, path)
    _check_known(parts["annotations"], "category_id", set(categories), path)
    labels = {category: label for label, category in enumerate(categories, 1)}
    objects = defaultdict(list)
    for annotation in parts["annotations"]:
        objects[annotation["image_id"]].append(_object(annotation, labels, path))
    records = [_record(entry, images, objects[entry["id"]], path) for entry in parts["images"]]
    check_files(records, path)
    return clean(records, where=path, on_bad_box=on_bad_box), categories


def _parse(path: Path) -> Any:
    try:
        return json.loads(path.read_bytes())
    except FileNotFoundError:
        raise ValueError(f"there is no annotation file {path}") from None
    except ValueError as error:
        raise ValueError(f"{path} is not JSON: {error}") from error


def _entries(data: Any, name: str, path: Path) -> list[Entry]:
    """The list `name` of an annotation file, each entry with all fields and an id of its own."""
    entries = data.get(name) if isinstance(data, dict) else None
    if not isinstance(entries, list):
        raise ValueError(f"{path} has no list {name}: it is no COCO annotation file")
    for index, entry in enumerate(entries):
        missing = [key for key in FIELDS[name] if not isinstance(entry, dict) or key not in entry]
        if missing:
            raise ValueError(f"{name}[{index}] of {path} has no {' and no '.join(missing)}")
        if not isinstance(entry["id"], int):
            raise ValueError(f"the id {entry['id']!r} in {name} of {path} is no whole number")
    counts = Counter(entry["id"] for entry in entries)
    twice = [key for key, count in counts.items() if count > 1]
    if twice:
        raise ValueError(
            f"{len(twice)} ids in {name} of {path} come more than once, the first is {twice[0]}"
        )
    return entries


def _check_known(annotations: list[Entry], key: str, known: set[int], path: Path) -> None:
    unknown = [annotation for annotation in annotations if annotation[key] not in known]
    if unknown:
        first = unknown[0]
        raise ValueError(
            f"{len(unknown)} annotations of {path} have no known {key},"
            f" the first is annotation {first['id']} with {first[key]}"
        )


def _object(annotation: Entry, labels: dict[int, int], path: Path) -> Object:
    bbox = annotation["bbox"]
    numbers = isinstance(bbox, list) and all(isinstance(value, int | float) for value in bbox)
    if not numbers or len(bbox) != 4 or not all(map(isfinite, bbox)):
        raise ValueError(
            f"annotation {annotation['id']} of {path} has the bbox {bbox}:"
            " four numbers are expected, left, top, width and height"
        )
    left, top, width, height = bbox
    area = annotation.get("area")
    return Object(
        (left, top, left + width, top + height),
        labels[annotation["category_id"]],
        width * height if area is None else area,
        bool(annotation.get("iscrowd", False)),
    )


def _record(entry: Entry, images: Path, objects: list[Object], path: Path) -> Record:
    size = (entry["width"], entry["height"])
    if not all(isinstance(side, int) and side >= 1 for side in size):
        raise ValueError(f"image {entry['id']} of {path} has the size {size[0]} x {size[1]}")
    return make_record(images / entry["file_name"], entry["id"], size, objects)
