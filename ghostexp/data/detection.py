"""Object detection data: one LightningDataModule for every form of annotation.

A batch is (images, targets): a list of images float32 [3, H, W] in [0, 1], each of its own size,
and a list of dicts: `boxes` float32 [n, 4] in pixels, (left, top, right, bottom), `labels` int64
[n] from 1 on (0 is the background), `image_id` int64 [], `area` float32 [n], `iscrowd` int64 [n].
Normalisation and resizing to the network's size are the network's, as in torchvision's detectors.
"""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytorch_lightning as pl
import torch
from torch import Tensor

from ghostexp.data.boxes import DetectionSet, Record, trainable
from ghostexp.data.draws import epoch_generator
from ghostexp.data.examples import DetectionLoader, Examples, Reading, decode_all, shrink, shrunk
from ghostexp.data.folder import open_image
from ghostexp.data.in_memory import EpochOrder


class DetectionData(pl.LightningDataModule):
    """Loaders over a `DetectionSet`; `load` reads it.

    `image_size` is (height, width) of a usual image file; `input_shape` is (3, H, W) of such an
    image after `reading`, for costs. `batch_size` is per process. Crowd boxes are not trained on;
    evaluation gets them marked. Label k of a batch is `category_ids[k - 1]` in the annotations.
    `val_split` is the share of the training images held out for validation, drawn from `seed`;
    `val_set` says that the set brings its own. Without either, no validation runs.
    """

    def __init__(
        self,
        load: Callable[[], DetectionSet],
        *,
        num_classes: int,
        image_size: tuple[int, int],
        batch_size: int,
        val_split: float = 0.0,
        val_set: bool = False,
        reading: Reading,
        seed: int,
    ) -> None:
        super().__init__()
        if not isinstance(batch_size, int) or batch_size < 1:
            raise ValueError(f"batch_size must be a whole number of at least 1, not {batch_size}")
        if not 0 <= val_split < 1:
            raise ValueError(f"val_split is a share in [0, 1), not {val_split}")
        self.load = load
        self.num_classes = num_classes
        self.input_shape = (3, *shrunk(image_size, reading.max_size))
        self.batch_size = batch_size
        self.val_split = val_split
        self.reading = reading
        self.seed = seed
        self.has_validation = val_split > 0 or val_set
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
        """Image float32 [3, H, W] of any file as in evaluation, and the file's (width, height).

        `rescale` takes boxes from the size of the one to that of the other.
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
        if self.val_split > 0:
            images = hold_out(images, share=self.val_split, seed=self.seed)
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


def hold_out(images: DetectionSet, *, share: float, seed: int) -> DetectionSet:
    """The set with a share of its training images as validation images, both in their old order."""
    count = max(1, round(share * len(images.train)))
    order = torch.randperm(len(images.train), generator=epoch_generator(seed)).tolist()
    val, train = sorted(order[:count]), sorted(order[count:])
    return replace(
        images,
        train=[images.train[index] for index in train],
        val=[images.train[index] for index in val],
    )
