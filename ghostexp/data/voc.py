"""Pascal VOC annotation files (Everingham et al. 2010) to records.

Boxes are 1-based and hold their last pixel: (1, 1, 1, 1) is the first pixel, here (0, 0, 1, 1).
Objects marked `difficult` count neither way in VOC's evaluation: they become crowd boxes, which are
not trained on and are ignored in COCO's evaluation. Images are numbered from 1, over all splits.
"""

from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree
from xml.etree.ElementTree import Element

from ghostexp.data.boxes import (
    DetectionSet,
    Object,
    Record,
    check_files,
    clean,
    hold_out_test,
    make_record,
)
from ghostexp.data.photos import settle
from ghostexp.data.voc_layout import VocSplits, find_pairs

CORNERS = ("xmin", "ymin", "xmax", "ymax")
YES, NO = ("1", "true", "yes"), ("0", "false", "no", "")


@dataclass(frozen=True)
class VocImage:
    """An annotation file; its objects have a name, a box and whether they are difficult.

    A size of (0, 0) is not known.
    """

    size: tuple[int, int]
    objects: list[tuple[str, tuple[float, float, float, float], bool]]


def load_voc(
    root: Path, splits: VocSplits, *, on_bad_box: str, exif: str | None = None
) -> DetectionSet:
    """Records of the splits; the classes are the names found in them, in alphabetical order.

    Without lists of images, an XML file belongs to the image of its name, as LabelImg writes it;
    the folders train, val and test below `root` are the splits, if they are there. Without test a
    fifth of the images is held out, the same ones for every seed.
    """
    pairs = find_pairs(root, splits)
    images = {split: [read_voc(xml) for xml, _ in part] for split, part in pairs.items()}
    names = _names(images)
    labels = {name: label for label, name in enumerate(names, 1)}
    records: dict[str, list[Record]] = {"val": []}
    image_id = 1
    for split, part in images.items():
        found = []
        for (_, file), image in zip(pairs[split], part, strict=True):
            found.append(_record(file, image_id, image, labels))
            image_id += 1
        where = f"{root} ({split})"
        check_files(found, where)
        records[split] = clean(
            settle(found, where=where, exif=exif), where=where, on_bad_box=on_bad_box
        )
    if "test" not in records:
        records["train"], records["test"] = hold_out_test(records["train"], root)
    return DetectionSet(names, list(labels.values()), **records, pixels={})


def list_names(root: Path, splits: VocSplits) -> list[str]:
    """Names of the classes in all annotation files of the set at `root`."""
    pairs = find_pairs(root, splits)
    return _names({split: [read_voc(xml) for xml, _ in part] for split, part in pairs.items()})


def read_voc(path: Path) -> VocImage:
    """The content of an annotation file."""
    try:
        root = ElementTree.parse(path).getroot()
    except FileNotFoundError:
        raise ValueError(f"there is no annotation file {path}") from None
    except ElementTree.ParseError as error:
        raise ValueError(f"{path} is not XML: {error}") from error
    for element in root.iter():
        element.tag = element.tag.rpartition("}")[2]  # without a namespace
    objects = [_object(element, path) for element in root.findall("object")]
    sides = [_number(root, f"size/{side}", path, default=0.0) for side in ("width", "height")]
    size = (int(sides[0]), int(sides[1])) if min(sides) >= 1 else (0, 0)
    return VocImage(size, objects)


def _names(images: dict[str, list[VocImage]]) -> list[str]:
    found = {name for part in images.values() for image in part for name, *_ in image.objects}
    return sorted(found)


def _record(file: Path, image_id: int, image: VocImage, labels: dict[str, int]) -> Record:
    objects = [
        Object(box, labels[name], (box[2] - box[0]) * (box[3] - box[1]), difficult)
        for name, box, difficult in image.objects
    ]
    return make_record(file, image_id, image.size, objects)


def _object(element: Element, path: Path) -> tuple[str, tuple[float, float, float, float], bool]:
    name = (element.findtext("name") or "").strip()
    if not name:
        raise ValueError(f"{path} has an object without a name")
    left, top, right, bottom = (_number(element, f"bndbox/{key}", path) for key in CORNERS)
    return name, (left - 1, top - 1, right, bottom), _is_difficult(element, path)


def _is_difficult(element: Element, path: Path) -> bool:
    text = (element.findtext("difficult") or "").strip().lower()
    if text not in (*YES, *NO):
        raise ValueError(f"{path}: object/difficult is {text!r}, not 0 or 1")
    return text in YES


def _number(element: Element, place: str, path: Path, default: float | None = None) -> float:
    text = element.findtext(place)
    if text is None and default is not None:
        return default
    try:
        return float(text or "")  # some of VOC2011's are no whole numbers
    except ValueError:
        raise ValueError(f"{path}: {element.tag}/{place} is {text!r}, not a number") from None
