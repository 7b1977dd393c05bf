"""Image classification data: one LightningDataModule, and a factory for each data set.

The factories are what conf/dataset names. A data set owns its facts (classes, channels, image
size) and the defaults that suit it (batch size, validation share, augmentation).
"""

from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytorch_lightning as pl
import torch
from torch import Tensor

from ghostexp.data.augment import Augment
from ghostexp.data.folder import check_folder, load_folder
from ghostexp.data.in_memory import (
    Batch,
    BatchLoader,
    EpochOrder,
    ImageSet,
    epoch_generator,
    stratified_split,
)
from ghostexp.data.public_sets import check_facts, load_cifar, load_digits

AUGMENTATION = 1  # its random stream, apart from the order's


class VisionData(pl.LightningDataModule):
    """Loaders over an `ImageSet`, augmented after the transfer to the training device.

    `load` reads the set; its first call may download or decode. `input_shape` is that of one image
    as the network sees it, (C, H, W); `batch_size` is per process.
    `val_split` is the share of each class's training images held out for validation, drawn from
    `seed`; `val_folder` says that the set brings its own. Without either, no validation runs.
    """

    def __init__(
        self,
        load: Callable[[], ImageSet],
        *,
        num_classes: int,
        input_shape: tuple[int, int, int],
        batch_size: int,
        val_split: float,
        augment: Augment,
        seed: int,
        val_folder: bool = False,
    ) -> None:
        super().__init__()
        if not isinstance(batch_size, int) or batch_size < 1:
            raise ValueError(f"batch_size must be a whole number of at least 1, not {batch_size}")
        if not 0 <= val_split < 1:
            raise ValueError(f"val_split is a share in [0, 1), not {val_split}")
        if len(augment.mean) != input_shape[0]:
            raise ValueError(
                f"augment.mean and augment.std need a value for each of the {input_shape[0]}"
                f" channels, not {len(augment.mean)}"
            )
        self.load = load
        self.num_classes = num_classes
        self.input_shape = input_shape
        self.batch_size = batch_size
        self.val_split = val_split
        self.augment = augment
        self.seed = seed
        self.has_validation = val_split > 0 or val_folder
        self.image_set: ImageSet | None = None
        self.generator = torch.Generator()
        self.augmented_epoch: int | None = None

    def prepare_data(self) -> None:
        """Download or decode, in one process."""
        self._load_once()

    def setup(self, stage: str) -> None:
        """Read the set; where nothing is held out, switch Lightning's validation off."""
        self._load_once()
        if self.trainer is not None and stage == "fit" and not self.has_val:
            self.trainer.limit_val_batches = 0  # an empty list of loaders does it too, and warns

    @property
    def class_names(self) -> list[str]:
        return self.image_set.class_names

    @property
    def num_train(self) -> int:
        return len(self.train)

    @property
    def has_val(self) -> bool:
        return len(self.val) > 0

    def train_dataloader(self) -> BatchLoader:
        self.augmented_epoch = None
        return self._loader(self.train, shuffle=True)

    def val_dataloader(self) -> BatchLoader | list[BatchLoader]:
        return self._loader(self.val, shuffle=False) if self.has_val else []

    def test_dataloader(self) -> BatchLoader:
        return self._loader(self.image_set.test, shuffle=False)

    def predict_dataloader(self) -> BatchLoader:
        return self.test_dataloader()

    def on_after_batch_transfer(self, batch: Batch, dataloader_idx: int) -> Batch | Tensor:
        """Augment training batches, normalise the others; prediction gets images only."""
        images, labels = batch
        if not self.trainer.training:
            images = self.augment.evaluate(images)
            return images if self.trainer.predicting else (images, labels)
        epoch = self.trainer.current_epoch
        if epoch != self.augmented_epoch:
            rank = self.trainer.global_rank
            self.generator = epoch_generator(self.seed, epoch, rank, AUGMENTATION)
            self.augmented_epoch = epoch
        return self.augment.train(images, labels, self.generator)

    def _load_once(self) -> None:
        if self.image_set is not None:
            return
        images = self.load()
        if len(images.class_names) != self.num_classes:
            raise ValueError(
                f"num_classes is {self.num_classes}, the data has {len(images.class_names)} classes"
            )
        self.train, self.val = images.train, images.val
        if self.val_split > 0:
            self.train, self.val = stratified_split(
                images.train, images.labels, share=self.val_split, seed=self.seed
            )
        self.image_set = images

    def _loader(self, indices: Tensor, *, shuffle: bool) -> BatchLoader:
        order = EpochOrder(
            indices,
            self.batch_size,
            shuffle=shuffle,
            seed=self.seed,
            rank=self.trainer.global_rank if self.trainer else 0,
            world_size=self.trainer.world_size if self.trainer else 1,
        )
        images = self.image_set.images
        if shuffle and self.image_set.train_images is not None:
            images = self.image_set.train_images
        return BatchLoader(images, self.image_set.labels, order)


def digits(
    *,
    num_classes: int = 10,
    in_channels: int = 1,
    image_size: int = 32,
    batch_size: int = 32,
    val_split: float = 0.0,
    augment: Augment,
    seed: int,
) -> VisionData:
    """scikit-learn's 1,797 handwritten digits, in the package: works offline."""
    check_facts("digits", (num_classes, in_channels, image_size), (10, 1, image_size))
    return VisionData(
        partial(load_digits, image_size),
        num_classes=num_classes,
        input_shape=(in_channels, image_size, image_size),
        batch_size=batch_size,
        val_split=val_split,
        augment=augment,
        seed=seed,
    )


def cifar10(
    root: str,
    *,
    num_classes: int = 10,
    in_channels: int = 3,
    image_size: int = 32,
    batch_size: int = 128,
    val_split: float = 0.0,
    augment: Augment,
    seed: int,
) -> VisionData:
    """CIFAR-10 (Krizhevsky 2009): 50,000 and 10,000 images, downloaded into `root`."""
    check_facts("CIFAR-10", (num_classes, in_channels, image_size), (10, 3, 32))
    return VisionData(
        partial(load_cifar, "CIFAR10", root),
        num_classes=num_classes,
        input_shape=(in_channels, image_size, image_size),
        batch_size=batch_size,
        val_split=val_split,
        augment=augment,
        seed=seed,
    )


def cifar100(
    root: str,
    *,
    num_classes: int = 100,
    in_channels: int = 3,
    image_size: int = 32,
    batch_size: int = 128,
    val_split: float = 0.0,
    augment: Augment,
    seed: int,
) -> VisionData:
    """CIFAR-100 (Krizhevsky 2009): as CIFAR-10, with 100 fine classes."""
    check_facts("CIFAR-100", (num_classes, in_channels, image_size), (100, 3, 32))
    return VisionData(
        partial(load_cifar, "CIFAR100", root),
        num_classes=num_classes,
        input_shape=(in_channels, image_size, image_size),
        batch_size=batch_size,
        val_split=val_split,
        augment=augment,
        seed=seed,
    )


def image_folder(
    root: str | None,
    *,
    num_classes: int,
    in_channels: int = 3,
    image_size: int = 32,
    batch_size: int = 128,
    val_split: float = 0.0,
    augment: Augment,
    seed: int,
) -> VisionData:
    """Image files `root/<train|val|test>/<class>/*` or `root/<class>/*`.

    Without a test folder a fifth of each class is held out as test, the same one for every seed.
    """
    check_folder(root, in_channels, image_size)
    val_folder = (Path(root) / "val").is_dir()
    if val_folder and val_split > 0:
        raise ValueError(f"{root} has a val folder, so val_split must be 0, not {val_split}")
    return VisionData(
        partial(load_folder, Path(root), in_channels=in_channels, image_size=image_size),
        num_classes=num_classes,
        input_shape=(in_channels, image_size, image_size),
        batch_size=batch_size,
        val_split=val_split,
        augment=augment,
        seed=seed,
        val_folder=val_folder,
    )
