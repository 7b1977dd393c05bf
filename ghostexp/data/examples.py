"""Images with boxes as a detector trains on them: read, shrunk, transformed, and put into batches.

What a training example looks like follows from (seed, epoch, image) alone, in whichever process
and batch it is made.
"""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from math import ceil
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import torch
from joblib import cpu_count
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor
from torch.utils.data import Dataset

from ghostexp.data.boxes import Record, rescale
from ghostexp.data.draws import drawing_from
from ghostexp.data.folder import BadFile, open_image, to_tensor
from ghostexp.data.in_memory import EpochOrder
from ghostexp.data.read_ahead import read_ahead

Target = dict[str, Tensor]
Batch = tuple[list[Tensor], list[Target]]
Arrays = dict[str, NDArray]  # a target on its way out of a worker: a tensor takes an open file
Transform = Callable[[Any, Any], tuple[Any, Any]]


@dataclass(frozen=True)
class Reading:
    """How images and boxes are read.

    `transforms` of torchvision.transforms.v2 change training examples, one after the other; they
    draw from the global generators of torch, numpy or `random`. Images whose longer side exceeds
    `max_size` pixels are shrunk to it, and their boxes with them. `in_memory` decodes all images
    once. `on_bad_box` is what happens to a box without an area inside of its image: drop or error.
    `exif` is what happens to a photo's EXIF orientation where its annotated size does not tell:
    apply or ignore, None for what the other photos agree on. `num_workers` are the processes that
    read ahead on this machine; None is one for each core.
    """

    transforms: Sequence[Transform] = ()
    max_size: int | None = None
    in_memory: bool = False
    on_bad_box: str = "error"
    exif: str | None = None
    num_workers: int | None = None

    def __post_init__(self) -> None:
        size, workers = self.max_size, self.num_workers
        if size is not None and (not isinstance(size, int) or size < 1):
            raise ValueError(f"max_size is a whole number of pixels, or null, not {size}")
        if workers is not None and (not isinstance(workers, int) or workers < 0):
            raise ValueError(f"num_workers is a whole number of at least 0, or null, not {workers}")
        if self.on_bad_box not in ("drop", "error"):
            raise ValueError(f"on_bad_box is drop or error, not {self.on_bad_box}")
        if self.exif not in ("apply", "ignore", None):
            raise ValueError(f"exif is apply, ignore or null, not {self.exif}")


class Examples(Dataset[tuple[list[Tensor], list[Arrays]]]):
    """Index tensors [B] to B images uint8 [3, H, W] and their targets.

    `pixels` holds images that are in memory, by their record's file. With `transforms` each is
    another one in every epoch; `entropy` is (seed, epoch).
    """

    def __init__(
        self,
        records: list[Record],
        pixels: dict[Path, Tensor],
        *,
        max_size: int | None,
        transforms: Sequence[Transform] = (),
    ) -> None:
        self.records = records
        self.pixels = pixels
        self.max_size = max_size
        self.transforms = transforms
        self.entropy = (0, 0)

    def __getitem__(self, indices: Tensor) -> tuple[list[Tensor], list[Arrays]]:
        examples = [self._example(index) for index in indices.tolist()]
        return [image for image, _ in examples], [target for _, target in examples]

    def _example(self, index: int) -> tuple[Tensor, Arrays]:
        record = self.records[index]
        image = self.pixels.get(record.file)
        if image is None:
            image = read_image(record, self.max_size)
        height, width = image.shape[1:]
        target = {
            "boxes": rescale(record.boxes, (record.width, record.height), (width, height)),
            "labels": record.labels,
            "image_id": np.array(record.image_id),
            "area": record.area,
            "iscrowd": record.iscrowd,
            "size": np.array([record.height, record.width]),
        }
        if not self.transforms:
            return image, target
        with drawing_from(*self.entropy, index):
            return transform(image, target, self.transforms)


class DetectionLoader:
    """Batches of `examples`, (images float32 in [0, 1], targets), in the order of `sampler`."""

    def __init__(self, examples: Examples, sampler: EpochOrder, *, num_workers: int | None) -> None:
        self.examples = examples
        self.sampler = sampler
        self.batch_sampler = None  # Lightning asks
        self.batch_size = sampler.batch_size
        workers = cpu_count() if num_workers is None else num_workers
        self.num_workers = ceil(workers / sampler.world_size)
        self.state_dict = sampler.state_dict  # which Lightning puts into checkpoints
        self.load_state_dict = sampler.load_state_dict

    def __len__(self) -> int:
        return len(self.sampler)

    def __iter__(self) -> Iterator[Batch]:
        self.examples.entropy = (self.sampler.seed, self.sampler.epoch)
        read = read_ahead(
            self.examples,
            self.sampler,
            num_workers=self.num_workers,
            entropy=self.examples.entropy,
        )
        for images, targets in self.sampler.counting(read):
            yield (
                [image.float() / 255 for image in images],
                [
                    {name: torch.tensor(value) for name, value in target.items()}
                    for target in targets
                ],
            )


def transform(
    image: Tensor, target: Arrays, transforms: Sequence[Transform]
) -> tuple[Tensor, Arrays]:
    """A training example after `transforms`, without the boxes that they cut to below a pixel."""
    from torchvision import tv_tensors  # a second of imports that only detection needs
    from torchvision.transforms import v2

    boxes = tv_tensors.BoundingBoxes(
        target["boxes"], format="XYXY", canvas_size=tuple(image.shape[1:])
    )
    sample = tv_tensors.Image(image), {"boxes": boxes, "labels": torch.tensor(target["labels"])}
    for change in (*transforms, v2.ClampBoundingBoxes(), v2.SanitizeBoundingBoxes()):
        sample = change(*sample)
    image, changed = sample
    boxes = changed["boxes"].as_subclass(Tensor).numpy()
    sides = boxes[:, 2:] - boxes[:, :2]
    return image.as_subclass(Tensor), {
        "boxes": boxes,
        "labels": changed["labels"].numpy(),
        "image_id": target["image_id"],
        "area": sides[:, 0] * sides[:, 1],
        "iscrowd": np.zeros(len(boxes), np.int64),
    }


def read_image(record: Record, max_size: int | None) -> Tensor:
    """Image uint8 [3, H, W] of a record's file, shrunk to `max_size`."""
    image = open_image(record.file, 3, upright=record.upright)
    if image.size != (record.width, record.height):
        raise BadFile(
            f"{record.file} is {image.width}x{image.height} pixels,"
            f" its annotation says {record.width}x{record.height}"
        )
    return shrink(image, max_size)


def shrink(image: Image.Image, max_size: int | None) -> Tensor:
    """Image uint8 [3, H, W], its longer side at most `max_size` pixels."""
    size = shrunk(image.size, max_size)
    if size != image.size:
        image = image.resize(size, Image.Resampling.BILINEAR)
    return to_tensor(image).contiguous()


def shrunk(size: tuple[int, int], max_size: int | None) -> tuple[int, int]:
    """(width, height) after shrinking; either order."""
    share = 1 if max_size is None else min(1, max_size / max(size))
    return max(1, round(size[0] * share)), max(1, round(size[1] * share))


def decode_all(records: list[Record], max_size: int | None) -> dict[Path, Tensor]:
    """Images uint8 [3, H, W] of all records by file, decoded by one thread per core."""
    sizes = [shrunk((record.width, record.height), max_size) for record in records]
    needed = sum(3 * width * height for width, height in sizes)
    free = psutil.virtual_memory().available
    if needed > free:
        raise ValueError(
            f"in_memory=true would keep {needed / 2**30:.1f} GiB of pixels,"
            f" and {free / 2**30:.1f} GiB are free: set it to false, or a smaller max_size"
        )
    with ThreadPoolExecutor(cpu_count()) as pool:
        images = pool.map(lambda record: read_image(record, max_size), records)
        return {record.file: image for record, image in zip(records, images, strict=True)}
