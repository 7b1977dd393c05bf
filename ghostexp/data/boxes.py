"""Images with boxes as plain records: what the readers of annotation files give, and its checks."""

import logging
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ghostexp.data.draws import epoch_generator
from ghostexp.data.splits import SPLIT_SEED, TEST_SHARE

log = logging.getLogger(__name__)

FILES_NAMED = 3  # of those that a sentence is about


@dataclass(frozen=True)
class Record:
    """One image of a data set with its boxes, in pixels of the file.

    `boxes` float32 [n, 4] as (left, top, right, bottom), `labels` int64 [n] from 1 on, `area`
    float32 [n] of the objects (of their masks, where the annotation says so), `iscrowd` int64 [n],
    1 for what is neither trained on nor counted in evaluation. `upright` says that the boxes are
    of the image after its EXIF orientation is applied.
    """

    file: Path
    image_id: int
    width: int
    height: int
    boxes: NDArray[np.float32]
    labels: NDArray[np.int64]
    area: NDArray[np.float32]
    iscrowd: NDArray[np.int64]
    upright: bool = True

    def facts(self) -> list[NDArray]:
        """All that a record says of its image, besides the file."""
        known = np.array([self.image_id, self.width, self.height, self.upright])
        return [known, self.boxes, self.labels, self.area, self.iscrowd]


@dataclass(frozen=True)
class DetectionSet:
    """Records of the splits; label k is `class_names[k - 1]`, in its files `category_ids[k - 1]`.

    `pixels` holds decoded images, uint8 [3, H, W] by their record's file; others are read from it.
    """

    class_names: list[str]
    category_ids: list[int]
    train: list[Record]
    val: list[Record]
    test: list[Record]
    pixels: dict[Path, Tensor]


class Object(NamedTuple):
    """One object of an image, as a reader finds it."""

    box: tuple[float, float, float, float]
    label: int
    area: float
    iscrowd: bool = False


def make_record(file: Path, image_id: int, size: tuple[int, int], objects: list[Object]) -> Record:
    """The record of an image of `size`, (width, height); (0, 0) is not known yet."""
    return Record(
        file,
        image_id,
        *size,
        boxes=np.array([object.box for object in objects], np.float32).reshape(-1, 4),
        labels=np.array([object.label for object in objects], np.int64),
        area=np.array([object.area for object in objects], np.float32),
        iscrowd=np.array([object.iscrowd for object in objects], np.int64),
    )


def clean(records: list[Record], *, where: str | Path, on_bad_box: str) -> list[Record]:
    """Boxes clipped to their image; those without an area are dropped with a warning, or refused.

    A box wholly outside of its image has no area. Its image stays, if need be without objects.
    """
    cleaned, bad = [], {}
    for record in records:
        limit = np.array([record.width, record.height] * 2, np.float32)
        boxes = record.boxes.clip(0, limit)
        good = (boxes[:, 2:] > boxes[:, :2]).all(axis=1)
        if not good.all():
            bad[record.file] = record.boxes[~good]
        cleaned.append(_select(replace(record, boxes=boxes), good))
    if bad:
        _complain(bad, where, on_bad_box)
    return cleaned


def trainable(records: list[Record]) -> list[Record]:
    """Records without their crowd boxes; images of crowds alone are left out.

    An image without any box shows the network what is no object; one of a crowd would show it
    objects and call them background.
    """
    kept = [record for record in records if not len(record.labels) or not record.iscrowd.all()]
    if len(kept) < len(records):
        left_out = len(records) - len(kept)
        log.info(f"{left_out} of {len(records)} training images show crowds alone: left out")
    return [_select(record, record.iscrowd == 0) for record in kept]


def split_records(
    records: list[Record], *, share: float, seed: int
) -> tuple[list[Record], list[Record]]:
    """(The rest, a share of the images drawn by `seed`), both in their old order."""
    count = min(max(1, round(share * len(records))), len(records) - 1)
    if count < 1:
        raise ValueError(f"a share of {share} cannot be held out of {len(records)} images")
    order = torch.randperm(len(records), generator=epoch_generator(seed)).tolist()
    held, rest = sorted(order[:count]), sorted(order[count:])
    return [records[index] for index in rest], [records[index] for index in held]


def hold_out_test(records: list[Record], where: str | Path) -> tuple[list[Record], list[Record]]:
    """(Training images, test images) of a set without a test split; the same for every seed."""
    rest, test = split_records(records, share=TEST_SHARE, seed=SPLIT_SEED)
    log.info(
        f"{where} has no test images: {len(test)} of {len(records)}, {TEST_SHARE:.0%}, are held out"
        " as test"
    )
    return rest, test


def rescale(
    boxes: NDArray[np.float32], old: tuple[int, int], new: tuple[int, int]
) -> NDArray[np.float32]:
    """Boxes [n, 4] of an image of size `old`, (width, height), after it is resized to `new`."""
    across, down = new[0] / old[0], new[1] / old[1]
    return boxes * np.array([across, down, across, down], np.float32)


def check_files(records: list[Record], where: str | Path) -> None:
    """Refuse records whose image file is missing."""
    missing = [record.file for record in records if not record.file.is_file()]
    if missing:
        raise ValueError(
            f"{len(missing)} of {len(records)} image files of {where} are missing,"
            f" the first is {missing[0]}"
        )


def _select(record: Record, keep: NDArray[np.bool_]) -> Record:
    return replace(
        record,
        boxes=record.boxes[keep],
        labels=record.labels[keep],
        area=record.area[keep],
        iscrowd=record.iscrowd[keep],
    )


def _complain(bad: dict[Path, NDArray[np.float32]], where: str | Path, on_bad_box: str) -> None:
    count = sum(map(len, bad.values()))
    shown = [f"{boxes[0].tolist()} in {file}" for file, boxes in bad.items()][:FILES_NAMED]
    more = f" and in {len(bad) - len(shown)} more images" if len(bad) > len(shown) else ""
    sentence = (
        f"boxes of {where} without an area inside of their image: {count},"
        f" as {', '.join(shown)}{more} (left, top, right, bottom)"
    )
    if on_bad_box == "error":
        raise ValueError(f"{sentence}; reading.on_bad_box=drop leaves them out")
    log.warning("%s; they are left out", sentence)
