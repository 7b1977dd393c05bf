"""Sizes and EXIF orientations of image files, held against what their annotations say.

Telephones store a photo as the sensor saw it and an orientation beside it, by which viewers turn
it. Some tools annotate the turned photo, others the stored one: the annotated size tells which.
"""

import logging
import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NoReturn

import torch
from PIL import ExifTags, Image
from torch import Tensor

from ghostexp.data.boxes import FILES_NAMED, Record
from ghostexp.data.files import cache_path, cached, in_threads
from ghostexp.data.folder import BadFile

log = logging.getLogger(__name__)

QUARTER_TURNS = (5, 6, 7, 8)  # the orientations that exchange width and height
ORIENTATIONS = range(2, 9)  # the others leave an image as it is
WORTH_A_CACHE = 2000  # files
WORTH_A_BAR = 20_000


@dataclass(frozen=True)
class Photo:
    """Size of an image file as it is stored, (width, height), and its EXIF orientation."""

    stored: tuple[int, int]
    orientation: int

    @property
    def is_turned(self) -> bool:
        return self.orientation in ORIENTATIONS

    @property
    def upright(self) -> tuple[int, int]:
        """The size after the orientation is applied."""
        return self.stored[::-1] if self.orientation in QUARTER_TURNS else self.stored


def settle(records: list[Record], *, where: str | Path, exif: str | None) -> list[Record]:
    """Records with the size of their files, and whether EXIF's orientation is applied to them.

    A record's size 0 x 0 is any size. Where the annotated size fits the file only one way, stored
    or turned, it decides. Where it fits both ways `exif` does, which is apply or ignore; None is
    what the sizes of the other photos agree on, else apply. A size that fits neither is refused.
    """
    photos = read_photos([record.file for record in records])
    ways = [_ways(record, photo) for record, photo in zip(records, photos, strict=True)]
    misfits = [index for index, fitting in enumerate(ways) if not fitting]
    if misfits:
        _refuse(records[misfits[0]], photos[misfits[0]], len(misfits), len(records), where)
    by_size = {
        way: [r.file for r, p, fits in zip(records, photos, ways, strict=True)
              if p.is_turned and fits == [way]]
        for way in (True, False)
    }  # fmt: skip
    agreed = [way for way, files in by_size.items() if files]
    upright = exif == "apply"
    if exif is None:
        upright = agreed[0] if len(agreed) == 1 else True
    either = [
        r.file for r, p, fits in zip(records, photos, ways, strict=True)
        if p.is_turned and len(fits) == 2
    ]  # fmt: skip
    _report(by_size, either, upright, where)
    return [
        _settled(record, photo, fits[0] if len(fits) == 1 else upright)
        for record, photo, fits in zip(records, photos, ways, strict=True)
    ]


def _ways(record: Record, photo: Photo) -> list[bool]:
    """Whether the annotated size fits the turned photo (True), the stored one (False), or both."""
    annotated = (record.width, record.height)
    sizes = {True: photo.upright, False: photo.stored}
    return [way for way, size in sizes.items() if annotated in ((0, 0), size)]


def _settled(record: Record, photo: Photo, upright: bool) -> Record:
    width, height = photo.upright if upright else photo.stored
    return replace(record, width=width, height=height, upright=upright)


def read_photos(files: list[Path]) -> list[Photo]:
    """Size and orientation of each file, from its header; of many files kept in a cache file."""
    if len(files) < WORTH_A_CACHE:
        headers = _read_headers(files)
    else:
        root = Path(os.path.commonpath([file.parent.absolute() for file in files]))
        paths = [file.absolute() for file in files]
        headers = cached(
            cache_path(root, paths, settings="headers 1", name="headers"),
            lambda: _read_headers(files),
            lambda kept: kept.shape == (len(files), 3) and kept.dtype == torch.int32,
        )
    return [Photo((width, height), turn) for width, height, turn in headers.tolist()]


def _read_headers(files: list[Path]) -> Tensor:
    """Width, height and orientation, int32 [N, 3]."""
    headers = torch.empty(len(files), 3, dtype=torch.int32)

    def read_one(index: int) -> None:
        path = files[index]
        try:
            with Image.open(path) as image:
                # a PNG's getexif() would decode all of it where the header has no EXIF
                known = image.format != "PNG" or "exif" in image.info
                turn = image.getexif().get(ExifTags.Base.Orientation, 1) if known else 1
                headers[index] = torch.tensor([*image.size, turn if turn in ORIENTATIONS else 1])
        except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
            raise BadFile(f"{path} cannot be read as an image: {error}") from error

    in_threads(read_one, len(files), bar_from=WORTH_A_BAR, what="headers")
    return headers


def _refuse(record: Record, photo: Photo, misfits: int, count: int, where: str | Path) -> NoReturn:
    turned = ""
    if photo.is_turned:
        turned = f" ({photo.upright[0]}x{photo.upright[1]} by its EXIF orientation)"
    raise ValueError(
        f"{misfits} of {count} images of {where} have another size than their annotation says,"
        f" the first is {record.file}: {photo.stored[0]}x{photo.stored[1]} pixels{turned},"
        f" annotated as {record.width}x{record.height}"
    )


def _report(
    by_size: dict[bool, list[Path]], either: list[Path], upright: bool, where: str | Path
) -> None:
    """Say in a line each which way photos with an EXIF orientation are read."""
    for way, sentence in (
        (True, "are turned by their EXIF orientation, as their annotated sizes say"),
        (False, "stay as they are stored, as their annotated sizes say, despite their EXIF"),
    ):
        if by_size[way]:
            files = by_size[way]
            log.info("%d images of %s %s: %s", len(files), where, sentence, _some(files))
    if either:
        log.warning(
            "%d images of %s have an EXIF orientation, and their annotated sizes do not say whether"
            " boxes were drawn before or after it: the %s image is taken, and reading.exif=%s takes"
            " the other one: %s",
            len(either),
            where,
            "turned" if upright else "stored",
            "ignore" if upright else "apply",
            _some(either),
        )


def _some(files: list[Path]) -> str:
    return ", ".join(map(str, files[:FILES_NAMED])) + (", ..." if len(files) > FILES_NAMED else "")
