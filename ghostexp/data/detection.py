"""Object detection data: one LightningDataModule, and a factory for each form of annotation.

A batch is (images, targets): a list of images float32 [3, H, W] in [0, 1], each of its own size,
and a list of dicts: `boxes` float32 [n, 4] in pixels, (left, top, right, bottom), `labels` int64
[n] from 1 on (0 is the background), `image_id` int64 [], `area` float32 [n], `iscrowd` int64 [n].
Normalisation and resizing to the network's size are the network's, as in torchvision's detectors.
"""

from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytorch_lightning as pl
import torch
from torch import Tensor

from ghostexp.data.boxes import DetectionSet, Record, trainable
from ghostexp.data.examples import DetectionLoader, Examples, Reading, decode_all, shrink, shrunk
from ghostexp.data.folder import open_image
from ghostexp.data.in_memory import EpochOrder
from ghostexp.data.shapes import load_shapes


class DetectionData(pl.LightningDataModule):
    """Loaders over a `DetectionSet`; `load` reads it.

    `image_size` is (height, width) of a usual image file; `input_shape` is (3, H, W) of such an
    image after `reading`, for costs. `batch_size` is per process. Crowd boxes are not trained on;
    evaluation gets them marked. Label k of a batch is `category_ids[k - 1]` in the annotations.
    """

    def __init__(
        self,
        load: Callable[[], DetectionSet],
        *,
        num_classes: int,
        image_size: tuple[int, int],
        batch_size: int,
        reading: Reading,
        seed: int,
        has_validation: bool,
    ) -> None:
        super().__init__()
        if not isinstance(batch_size, int) or batch_size < 1:
            raise ValueError(f"batch_size must be a whole number of at least 1, not {batch_size}")
        self.load = load
        self.num_classes = num_classes
        self.input_shape = (3, *shrunk(image_size, reading.max_size))
        self.batch_size = batch_size
        self.reading = reading
        self.seed = seed
        self.has_validation = has_validation
        self.detection_set: DetectionSet | None = None

    def prepare_data(self) -> None:
        """Render or decode, in one process."""
        self._load_once()

    def setup(self, stage: str) -> None:
        """Read the set; without validation images, switch Lightning's validation off."""
        self._load_once()
        if self.trainer is not None and stage == "fit" and not self.detection_set.val:
            self.trainer.limit_val_batches = 0  # an empty list of loaders does it too, and warns

    @property
    def class_names(self) -> list[str]:
        return self.detection_set.class_names

    @property
    def category_ids(self) -> list[int]:
        return self.detection_set.category_ids

    @property
    def num_train(self) -> int:
        return len(self.train)

    def records(self, split: str) -> dict[int, Record]:
        """File, size and boxes of the images of val or test, by image id."""
        return {record.image_id: record for record in getattr(self.detection_set, split)}

    def load_file(self, path: str | Path) -> tuple[Tensor, tuple[int, int]]:
        """Image float32 [3, H, W] of any file, read as those of evaluation, and its (width, height).

        `rescale` takes boxes from the image's size to the file's.
        """
        image = open_image(path, 3)
        return shrink(image, self.reading.max_size).float() / 255, image.size

    def train_dataloader(self) -> DetectionLoader:
        return self._loader(self.train, shuffle=True)

    def val_dataloader(self) -> DetectionLoader | list[DetectionLoader]:
        val = self.detection_set.val
        return self._loader(val, shuffle=False) if val else []

    def test_dataloader(self) -> DetectionLoader:
        return self._loader(self.detection_set.test, shuffle=False)

    def predict_dataloader(self) -> DetectionLoader:
        return self.test_dataloader()

    def _load_once(self) -> None:
        if self.detection_set is not None:
            return
        images = self.load()
        if len(images.class_names) != self.num_classes:
            raise ValueError(
                f"num_classes is {self.num_classes}, the data has {len(images.class_names)} classes"
            )
        self.train = trainable(images.train)
        if not any(len(record.labels) for record in self.train):
            raise ValueError(f"none of the {len(images.train)} training images has a box to learn")
        self.pixels = images.pixels
        if self.reading.in_memory and not self.pixels:
            records = [*images.train, *images.val, *images.test]
            self.pixels = decode_all(records, self.reading.max_size)
        self.detection_set = images

    def _loader(self, records: list[Record], *, shuffle: bool) -> DetectionLoader:
        order = EpochOrder(
            torch.arange(len(records)),
            self.batch_size,
            shuffle=shuffle,
            seed=self.seed,
            rank=self.trainer.global_rank if self.trainer else 0,
            world_size=self.trainer.world_size if self.trainer else 1,
        )
        examples = Examples(
            records,
            self.pixels,
            max_size=self.reading.max_size,
            transforms=self.reading.transforms if shuffle else (),
        )
        return DetectionLoader(examples, order, num_workers=self.reading.num_workers)


def shapes_detection(
    *,
    num_classes: int = 3,
    in_channels: int = 3,
    image_size: tuple[int, int] = (128, 128),
    batch_size: int = 8,
    reading: Reading,
    seed: int,
) -> DetectionData:
    """Circles, squares and triangles on noise, rendered from fixed seeds: works offline."""
    check_form(num_classes, in_channels, image_size)
    return DetectionData(
        partial(load_shapes, tuple(image_size)),
        num_classes=num_classes,
        image_size=tuple(image_size),
        batch_size=batch_size,
        reading=reading,
        seed=seed,
        has_validation=True,
    )


def check_form(num_classes: int, in_channels: int, image_size: tuple[int, int]) -> None:
    """Refuse what no detection data set can be, before any file is looked at."""
    if not isinstance(num_classes, int) or num_classes < 1:
        raise ValueError(f"num_classes is a whole number of at least 1, not {num_classes}")
    if in_channels != 3:
        raise ValueError(f"in_channels is 3, grey images are read as RGB, not {in_channels}")
    whole = all(isinstance(side, int) and side >= 1 for side in image_size)
    if len(image_size) != 2 or not whole:
        raise ValueError(f"image_size is [height, width] in pixels, not {image_size}")
