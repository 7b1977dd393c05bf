"""Where the files of a Pascal VOC set lie: lists of images, or XML files beside images.

VOC itself has the folders Annotations, JPEGImages and ImageSets with a list for each split.
LabelImg writes an XML file for each image, beside it or into another folder, and no lists.
"""

import logging
import re
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

from ghostexp.data.boxes import FILES_NAMED
from ghostexp.data.folder import EXTENSIONS
from ghostexp.data.tree import files_below, split_folders

log = logging.getLogger(__name__)

FOLDERS = ("Annotations", "JPEGImages", "ImageSets")
FLAG = re.compile(r"\s+(-1|0|1)$")  # behind a name: whether the image shows the list's class

Pair = tuple[Path, Path]  # annotation file, image file


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


def find_set(root: Path) -> Path | None:
    """The folder of Annotations, JPEGImages and ImageSets: `root`, or the one year below it."""
    places = [root, *sorted(root.glob("VOC20*")), *sorted(root.glob("VOCdevkit/VOC20*"))]
    found = [place for place in places if all((place / name).is_dir() for name in FOLDERS)]
    if len(found) > 1:
        years = ", ".join(map(str, found))
        raise ValueError(f"{root} holds more than one set: give one of {years} as root")
    return found[0] if found else None


def has_val(root: Path, splits: VocSplits) -> bool:
    """Whether the set at `root` brings validation images."""
    if find_set(root) is not None:
        return splits.val is not None
    return (root / "train").is_dir() and "val" in split_folders(root)


def find_pairs(root: Path, splits: VocSplits) -> dict[str, list[Pair]]:
    """Annotation and image files of each split."""
    folder = find_set(root)
    if folder is not None:
        return {split: _listed(folder, path) for split, path in splits.lists(folder).items()}
    folders = split_folders(root) if (root / "train").is_dir() else {"train": root}
    return {split: _paired(place) for split, place in folders.items()}


def _listed(folder: Path, path: Path) -> list[Pair]:
    """The files of the images in a list; of a line the name counts, not a flag or an ending."""
    try:
        lines = path.read_text("utf-8-sig", errors="surrogateescape").splitlines()
    except FileNotFoundError:
        raise ValueError(f"there is no list of images {path}") from None
    stems = [_stem(line.strip(), folder / "Annotations") for line in lines if line.strip()]
    if not stems:
        raise ValueError(f"{path} lists no image")
    endings = {
        image.stem: image.suffix
        for image in sorted((folder / "JPEGImages").iterdir())
        if image.suffix.lower() in EXTENSIONS
    }
    return [
        (
            folder / "Annotations" / f"{stem}.xml",
            folder / "JPEGImages" / (stem + endings.get(stem, ".jpg")),
        )
        for stem in stems
    ]


def _stem(line: str, annotations: Path) -> str:
    """The name in a line whose annotation file is there, else the shortest reading of the line."""
    plain = FLAG.sub("", line)
    readings = [line, plain]
    for name in (line, plain):
        stem, dot, ending = name.rpartition(".")
        if f"{dot}{ending}".lower() in EXTENSIONS:
            readings.append(stem)
    return next(
        (name for name in readings if (annotations / f"{name}.xml").is_file()), readings[-1]
    )


def _paired(folder: Path) -> list[Pair]:
    """XML files below a folder, each with the image of its name: beside it, or the only one."""
    files = files_below(folder, {".xml"})
    if not files:
        raise ValueError(
            f"{folder} has no folders {', '.join(FOLDERS)}, no VOC20xx below it, and no XML file"
        )
    images = files_below(folder, EXTENSIONS)
    beside = {(image.parent, image.stem): image for image in images}
    named = defaultdict(list)
    for image in images:
        named[image.stem].append(image)
    pairs = []
    for xml in files:
        found = beside.get((xml.parent, xml.stem))
        candidates = [found] if found else named[xml.stem]
        if len(candidates) != 1:
            raise ValueError(
                f"{xml} belongs to one image named {xml.stem} below {folder}, but there are"
                f" {len(candidates)}"
            )
        pairs.append((xml, candidates[0]))
    _say_unlabelled(folder, sorted({*images} - {image for _, image in pairs}))
    return pairs


def _say_unlabelled(folder: Path, images: list[Path]) -> None:
    if images:
        shown = ", ".join(map(str, images[:FILES_NAMED]))
        log.warning(
            "%d images below %s have no XML file and are left out, such as %s",
            len(images), folder, shown,
        )  # fmt: skip
