"""Object detection data: one LightningDataModule for every form of annotation.

A batch is (images, targets): a list of images float32 [3, H, W] in [0, 1], each of its own size,
and a list of dicts: `boxes` float32 [n, 4] in pixels, (left, top, right, bottom), `labels` int64
[n] from 1 on (0 is the background), `image_id` int64 [], `area` float32 [n], `iscrowd` int64 [n].
In evaluation there is also `size` int64 [2], (height, width) of the image as it was annotated, and
`area` is in the pixels of that image, so that COCO's small, medium and large keep their meaning.
Normalisation and resizing to the network's size are the network's, as in torchvision's detectors.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import pytorch_lightning as pl
import torch
from torch import Tensor

from ghostexp.data.boxes import DetectionSet, Record, split_records, trainable
from ghostexp.data.examples import DetectionLoader, Examples, Reading, decode_all, shrink, shrunk
from ghostexp.data.fingerprint import file_facts, fingerprint
from ghostexp.data.folder import open_image
from ghostexp.data.in_memory import EpochOrder

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class BoxSource:
    """Where images with boxes come from.

    `load` reads the set. `has_val` says that it brings its own validation images. `list_classes`
    gives the names of the classes without looking at an image, where they are not fixed.
    """

    load: Callable[[], DetectionSet]
    has_val: bool = False
    list_classes: Callable[[], list[str]] | None = None


class DetectionData(pl.LightningDataModule):
    """Loaders over the `DetectionSet` of a source.

    `num_classes` None is as many as the data have. `image_size` is (height, width) of a usual
    image file; `input_shape` is (3, H, W) of such an image after `reading`, for costs.
    `batch_size` is per process. Crowd boxes are not trained on; evaluation gets them marked. Label
    k of a batch is `category_ids[k - 1]` in the annotations. `val_split` is the share of the
    training images held out for validation, drawn from `seed`. Without it, and without validation
    images of the set's own, no validation runs.
    """

    def __init__(
        self,
        source: BoxSource,
        *,
        num_classes: int | None,
        image_size: tuple[int, int],
        batch_size: int,
        val_split: float = 0.0,
        reading: Reading,
        seed: int,
    ) -> None:
        super().__init__()
        if not isinstance(batch_size, int) or batch_size < 1:
            raise ValueError(f"batch_size must be a whole number of at least 1, not {batch_size}")
        if not 0 <= val_split < 1:
            raise ValueError(f"val_split is a share in [0, 1), not {val_split}")
        if val_split > 0 and source.has_val:
            raise ValueError(f"the set has validation images: val_split must be 0, not {val_split}")
        self.source = source
        self.num_classes = num_classes
        self.input_shape = (3, *shrunk(image_size, reading.max_size))
        self.batch_size = batch_size
        self.val_split = val_split
        self.reading = reading
        self.seed = seed
        self.has_validation = val_split > 0 or source.has_val
        self.detection_set: DetectionSet | None = None

    def list_classes(self) -> list[str]:
        """Names of the classes before `setup`, for data sets whose classes are not fixed."""
        if self.source.list_classes is None:
            raise ValueError("num_classes is fixed for this data set: null cannot be counted")
        return self.source.list_classes()

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

    @property
    def num_test(self) -> int:
        return len(self.detection_set.test)

    @property
    def fingerprint(self) -> str:
        """16 digits that change with any image, any box and the split; known after `setup`."""
        images = self.detection_set
        records = [*images.train, *images.val, *images.test]
        pixels = [images.pixels[r.file] for r in records if r.file in images.pixels]
        files = [r.file for r in records if r.file not in images.pixels]
        sizes = [str(len(part)) for part in (images.train, images.val, images.test)]
        objects = [part for r in records for part in r.facts()]
        facts = file_facts(files) if files else []
        return fingerprint([*images.class_names, *sizes, *objects, *pixels, *facts])

    def records(self, split: str) -> dict[int, Record]:
        """File, size and boxes of the images of val or test, by image id."""
        return {record.image_id: record for record in getattr(self.detection_set, split)}

    def load_file(self, path: str | Path) -> tuple[Tensor, tuple[int, int]]:
        """Image float32 [3, H, W] of any file as in evaluation, and the file's (width, height).

        `rescale` takes boxes from the size of the image to the size of the file.
        """
        image = open_image(path, 3, upright=self.reading.exif != "ignore")
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
        images = self.source.load()
        if self.num_classes is None:
            self.num_classes = len(images.class_names)
        if self.val_split > 0:
            rest, held = split_records(images.train, share=self.val_split, seed=self.seed)
            images = replace(images, train=rest, val=held)
        if len(images.class_names) != self.num_classes:
            raise ValueError(
                f"num_classes is {self.num_classes}, the data has {len(images.class_names)} classes"
            )
        self.train = trainable(images.train)
        if not any(len(record.labels) for record in self.train):
            raise ValueError(f"none of the {len(images.train)} training images has a box to learn")
        _name_classes_without_boxes(images.class_names, self.train)
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


def _name_classes_without_boxes(class_names: list[str], records: list[Record]) -> None:
    known = {label for record in records for label in record.labels.tolist()}
    lacking = [name for label, name in enumerate(class_names, 1) if label not in known]
    if lacking:
        log.warning("no training image has a box of %s: it is never found", ", ".join(lacking))
