"""COCO annotation files (Lin et al. 2014, cocodataset.org/#format-data) to records.

Categories may have any ids: label k is the k-th category in the order of their ids.
"""

import json
import logging
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

from ghostexp.data.boxes import (
    DetectionSet,
    Object,
    Record,
    check_files,
    clean,
    hold_out_test,
    make_record,
)
from ghostexp.data.coco_values import (
    Entry,
    Key,
    area_of,
    box_of,
    crowd_of,
    file_of,
    key_of,
    size_of,
)
from ghostexp.data.photos import settle

log = logging.getLogger(__name__)

FIELDS = {
    "images": ("id", "file_name"),
    "annotations": ("image_id", "category_id", "bbox"),
    "categories": ("id", "name"),
}


def load_coco(
    splits: dict[str, tuple[Path, Path]], *, on_bad_box: str, exif: str | None = None
) -> DetectionSet:
    """Records of the splits train and maybe val and test.

    Files may list fewer categories than train's, with the same names. Without test a fifth of the
    training images is held out, the same ones for every seed.
    """
    records: dict[str, list[Record]] = {"val": []}
    categories: dict[Key, str] = {}
    reading = {"on_bad_box": on_bad_box, "exif": exif}
    for split, (path, images) in splits.items():
        records[split], found = read_coco(path, images, known=categories, **reading)
        categories = categories or found
    if "test" not in records:
        records["train"], records["test"] = hold_out_test(records["train"], splits["train"][0])
    ids = list(categories)
    if not all(isinstance(key, int) for key in ids):
        ids = list(range(1, len(ids) + 1))
    return DetectionSet(list(categories.values()), ids, **records, pixels={})


def list_categories(path: Path) -> list[str]:
    """Names of the categories of an annotation file."""
    return list(_categories(_parse(path), path).values())


def read_coco(
    path: Path,
    images: Path,
    *,
    on_bad_box: str,
    exif: str | None = None,
    known: dict[Key, str] | None = None,
) -> tuple[list[Record], dict[Key, str]]:
    """Records of an annotation file, whose images are in a folder, and the names by category id.

    Labels follow the `known` categories; the file may list fewer. An `area` is kept as it is
    written, because it may be the area of a mask; without one it is the area of the box.
    """
    data = _parse(path)
    categories = _categories(data, path)
    if known:
        _check_same(categories, known, path)
    entries = _entries(data, "images", path)
    if not entries:
        raise ValueError(f"{path} lists no image")
    objects = _objects(data, set(entries), known or categories, path)
    numbers = _image_ids(list(entries), path)
    records = [
        make_record(
            file_of(entry, images, where),
            numbers[key],
            size_of(entry, where),
            objects[key],
        )
        for key, (where, entry) in entries.items()
    ]
    check_files(records, path)
    records = settle(records, where=path, exif=exif)
    return clean(records, where=path, on_bad_box=on_bad_box), categories


def _objects(
    data: Any, images: set[Key], categories: dict[Key, str], path: Path
) -> dict[Key, list[Object]]:
    """The objects of each image."""
    labels = {key: label for label, key in enumerate(categories, 1)}
    objects = defaultdict(list)
    for where, entry in _listed(data, "annotations", path):
        image, category = (key_of(entry, name, where) for name in ("image_id", "category_id"))
        for name, key, there in (
            ("image_id", image, images),
            ("category_id", category, labels),
        ):
            if key not in there:
                raise ValueError(f"{where} has the {name} {key!r}, which the file does not list")
        box = box_of(entry, where)
        area = area_of(entry, box, where)
        objects[image].append(Object(box, labels[category], area, crowd_of(entry, where)))
    return objects


def _image_ids(keys: list[Key], path: Path) -> dict[Key, int]:
    """A whole number for each image: its id, or its place in the file where ids are texts."""
    texts = [key for key in keys if not isinstance(key, int)]
    if not texts:
        return {key: key for key in keys}
    log.info("images of %s are numbered from 1: ids such as %s are no numbers", path, texts[0])
    return {key: number for number, key in enumerate(keys, 1)}


def _categories(data: Any, path: Path) -> dict[Key, str]:
    """Names by id, sorted by id; in the order of the file where ids are texts."""
    found = {
        key: str(entry["name"]) for key, (_, entry) in _entries(data, "categories", path).items()
    }
    numbered = all(isinstance(key, int) for key in found)
    return dict(sorted(found.items())) if numbered else found


def _check_same(found: dict[Key, str], known: dict[Key, str], path: Path) -> None:
    differing = [f"{key} {name}" for key, name in found.items() if known.get(key) != name]
    if differing:
        raise ValueError(
            f"{path} has the categories {', '.join(differing)}, which the training file lacks or"
            " names otherwise"
        )


def _parse(path: Path) -> Any:
    try:
        return json.loads(path.read_bytes())
    except FileNotFoundError:
        raise ValueError(
            f"there is no annotation file {path}; dataset.files.val=null validates on nothing, and"
            " dataset.files.test=null holds a share of the training images out as test"
        ) from None
    except ValueError as error:
        raise ValueError(f"{path} is not JSON: {error}") from error


def _entries(data: Any, name: str, path: Path) -> dict[Key, tuple[str, Entry]]:
    """Place and content of the entries of the list `name`, by their ids, which differ."""
    listed = [
        (key_of(entry, "id", where), where, entry) for where, entry in _listed(data, name, path)
    ]
    _check_once([key for key, _, _ in listed], name, path)
    return {key: (where, entry) for key, where, entry in listed}


def _listed(data: Any, name: str, path: Path) -> list[tuple[str, Entry]]:
    """The entries of the list `name`, with all fields, each with its place in the file."""
    entries = data.get(name) if isinstance(data, dict) else None
    if not isinstance(entries, list):
        raise ValueError(f"{path} has no list {name}: it is no COCO annotation file")
    listed = []
    for index, entry in enumerate(entries):
        missing = [key for key in FIELDS[name] if not isinstance(entry, dict) or key not in entry]
        if missing:
            raise ValueError(f"{name}[{index}] of {path} has no {' and no '.join(missing)}")
        listed.append((f"{name}[{index}] of {path}", entry))
    return listed


def _check_once(keys: list[Key], name: str, path: Path) -> None:
    twice = [key for key, count in Counter(keys).items() if count > 1]
    if twice:
        raise ValueError(
            f"{len(twice)} ids in {name} of {path} come more than once, the first is {twice[0]}"
        )
