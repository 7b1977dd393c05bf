"""Pascal VOC annotation files (Everingham et al. 2010) to records.

Boxes are 1-based and hold their last pixel: (1, 1, 1, 1) is the first pixel, here (0, 0, 1, 1).
Objects marked `difficult` count neither way in VOC's evaluation: they become crowd boxes, which are
not trained on and are ignored in COCO's evaluation. Images are numbered from 1, over all splits.
"""

from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree
from xml.etree.ElementTree import Element

from ghostexp.data.boxes import DetectionSet, Object, Record, check_files, clean, make_record
from ghostexp.data.folder import EXTENSIONS

FOLDERS = ("Annotations", "JPEGImages", "ImageSets")
CORNERS = ("xmin", "ymin", "xmax", "ymax")


@dataclass(frozen=True)
class VocSplits:
    """Lists of images, ImageSets/Main/<name>.txt; without `val` nothing is held out."""

    train: str = "train"
    val: str | None = "val"
    test: str = "test"

    def lists(self, folder: Path) -> dict[str, Path]:
        """The list of each split."""
        names = {"train": self.train, "val": self.val, "test": self.test}
        place = folder / "ImageSets" / "Main"
        return {split: place / f"{name}.txt" for split, name in names.items() if name is not None}


@dataclass(frozen=True)
class VocImage:
    """An annotation file; its objects have a name, a box and whether they are difficult."""

    stem: str
    size: tuple[int, int]
    objects: list[tuple[str, tuple[float, float, float, float], bool]]


def find_set(root: Path) -> Path:
    """The folder of Annotations, JPEGImages and ImageSets: `root`, or the one year below it."""
    places = [root, *sorted(root.glob("VOC20*")), *sorted(root.glob("VOCdevkit/VOC20*"))]
    found = [place for place in places if all((place / name).is_dir() for name in FOLDERS)]
    if not found:
        raise ValueError(f"{root} has no folders {', '.join(FOLDERS)}, nor has a VOC20xx below it")
    if len(found) > 1:
        years = ", ".join(map(str, found))
        raise ValueError(f"{root} holds more than one set: give one of {years} as root")
    return found[0]


def load_voc(folder: Path, splits: VocSplits, *, on_bad_box: str) -> DetectionSet:
    """Records of the splits; the classes are the names found in them, in alphabetical order."""
    images = {split: _read_list(folder, path) for split, path in splits.lists(folder).items()}
    names = sorted(
        {name for part in images.values() for image in part for name, *_ in image.objects}
    )
    labels = {name: label for label, name in enumerate(names, 1)}
    endings = {
        path.stem: path.suffix
        for path in (folder / "JPEGImages").iterdir()
        if path.suffix.lower() in EXTENSIONS
    }
    records: dict[str, list[Record]] = {"val": []}
    image_id = 1
    for split, part in images.items():
        found = []
        for image in part:
            name = image.stem + endings.get(image.stem, ".jpg")
            found.append(_record(folder / "JPEGImages" / name, image_id, image, labels))
            image_id += 1
        where = f"{folder} ({split})"
        check_files(found, where)
        records[split] = clean(found, where=where, on_bad_box=on_bad_box)
    return DetectionSet(names, list(labels.values()), **records, pixels={})


def read_voc(path: Path) -> VocImage:
    """The content of an annotation file."""
    try:
        root = ElementTree.parse(path).getroot()
    except FileNotFoundError:
        raise ValueError(f"there is no annotation file {path}") from None
    except ElementTree.ParseError as error:
        raise ValueError(f"{path} is not XML: {error}") from error
    width, height = (int(_number(root, f"size/{side}", path)) for side in ("width", "height"))
    if min(width, height) < 1:
        raise ValueError(f"{path} has the image size {width} x {height}")
    return VocImage(
        path.stem, (width, height), [_object(element, path) for element in root.findall("object")]
    )


def _read_list(folder: Path, path: Path) -> list[VocImage]:
    try:
        stems = path.read_text().split()
    except FileNotFoundError:
        raise ValueError(f"there is no list of images {path}") from None
    if not stems:
        raise ValueError(f"{path} lists no image")
    return [read_voc(folder / "Annotations" / f"{stem}.xml") for stem in stems]


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
    return (
        name,
        (left - 1, top - 1, right, bottom),
        element.findtext("difficult", "0").strip() == "1",
    )


def _number(element: Element, place: str, path: Path) -> float:
    text = element.findtext(place)
    try:
        return float(text or "")  # some of VOC2011's are no whole numbers
    except ValueError:
        raise ValueError(f"{path}: {element.tag}/{place} is {text!r}, not a number") from None
