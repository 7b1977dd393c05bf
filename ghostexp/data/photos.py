"""Sizes and EXIF orientations of image files, held against what their annotations say.

Telephones store a photo as the sensor saw it and an orientation beside it, by which viewers turn
it. Some tools annotate the turned photo, others the stored one: the annotated size tells which.
"""

import logging
import os
from dataclasses import dataclass, replace
from pathlib import Path

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


def settle(records: list[Record], *, where: str | Path, exif: str) -> list[Record]:
    """Records with the size of their files, and whether EXIF's orientation is applied to them.

    A record's size 0 x 0 is any size. Where the annotated size fits the file only one way, stored
    or turned, it decides; where it fits both ways `exif` does, which is apply or ignore. A size
    that fits neither way is refused.
    """
    photos = read_photos([record.file for record in records])
    settled, misfits, by_size, by_choice = [], [], [], []
    for record, photo in zip(records, photos, strict=True):
        annotated = (record.width, record.height)
        ways = [
            upright
            for upright, size in ((True, photo.upright), (False, photo.stored))
            if annotated in ((0, 0), size)
        ]
        if not ways:
            misfits.append((record, photo))
            continue
        if photo.is_turned:
            (by_size if len(ways) == 1 else by_choice).append((record, ways[0]))
        upright = ways[0] if len(ways) == 1 else exif == "apply"
        width, height = photo.upright if upright else photo.stored
        settled.append(replace(record, width=width, height=height, upright=upright))
    if misfits:
        _refuse(misfits, len(records), where)
    _report(by_size, by_choice, where, exif)
    return settled


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


def _refuse(misfits: list[tuple[Record, Photo]], count: int, where: str | Path) -> None:
    record, photo = misfits[0]
    turned = ""
    if photo.is_turned:
        turned = f" ({photo.upright[0]}x{photo.upright[1]} by its EXIF orientation)"
    raise ValueError(
        f"{len(misfits)} of {count} images of {where} have another size than their annotation says,"
        f" the first is {record.file}: {photo.stored[0]}x{photo.stored[1]} pixels{turned},"
        f" annotated as {record.width}x{record.height}"
    )


def _report(
    by_size: list[tuple[Record, bool]],
    by_choice: list[tuple[Record, bool]],
    where: str | Path,
    exif: str,
) -> None:
    """Say in a line each which way photos with an EXIF orientation are read."""
    for upright, sentence in (
        (True, "are turned by their EXIF orientation, as their annotated sizes say"),
        (False, "stay as they are stored, as their annotated sizes say, despite their EXIF"),
    ):
        files = [record.file for record, way in by_size if way == upright]
        if files:
            log.info("%d images of %s %s: %s", len(files), where, sentence, _some(files))
    if by_choice:
        log.warning(
            "%d images of %s have an EXIF orientation, and their annotated sizes do not say whether"
            " boxes were drawn before or after it: reading.exif=%s takes the %s image: %s",
            len(by_choice),
            where,
            exif,
            "turned" if exif == "apply" else "stored",
            _some([record.file for record, _ in by_choice]),
        )


def _some(files: list[Path]) -> str:
    return ", ".join(map(str, files[:FILES_NAMED])) + (", ..." if len(files) > FILES_NAMED else "")
