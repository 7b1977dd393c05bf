"""Image classification data: a factory for each data set, which are what conf/dataset names.

A data set owns its facts (classes, channels, image size) and the defaults that suit it (batch size,
validation share, augmentation).
"""

from collections.abc import Callable
from functools import partial
from pathlib import Path

from ghostexp.data.augment import Augment
from ghostexp.data.datamodule import ClassificationData, Source
from ghostexp.data.folder import (
    EXTENSIONS,
    check_folder,
    check_interpolation,
    load_folder,
    load_image,
)
from ghostexp.data.in_memory import LabelledSet
from ghostexp.data.public_sets import check_facts, load_cifar, load_digits
from ghostexp.data.tree import has_val_folder, list_classes


def image_source(
    load: Callable[[], LabelledSet],
    *,
    in_channels: int,
    image_size: int,
    interpolation: str | None = None,
    has_val: bool = False,
    list_classes: Callable[[], list[str]] | None = None,
) -> Source:
    """Source of square images, whose files are cut and resized as an image folder's."""
    return Source(
        load,
        load_file=partial(
            load_image,
            in_channels=in_channels,
            image_size=image_size,
            interpolation=interpolation,
        ),
        extensions=EXTENSIONS,
        input_shape=(in_channels, image_size, image_size),
        has_val=has_val,
        list_classes=list_classes,
    )


def digits(
    *,
    num_classes: int = 10,
    in_channels: int = 1,
    image_size: int = 32,
    batch_size: int = 32,
    val_split: float = 0.0,
    augment: Augment,
    seed: int,
    sampler: str | None = None,
) -> ClassificationData:
    """scikit-learn's 1,797 handwritten digits, in the package: works offline."""
    check_facts("digits", (num_classes, in_channels, image_size), (10, 1, image_size))
    return ClassificationData(
        image_source(
            partial(load_digits, image_size), in_channels=in_channels, image_size=image_size
        ),
        num_classes=num_classes,
        batch_size=batch_size,
        val_split=val_split,
        augment=augment,
        seed=seed,
        sampler=sampler,
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
    sampler: str | None = None,
) -> ClassificationData:
    """CIFAR-10 (Krizhevsky 2009): 50,000 and 10,000 images, downloaded into `root`."""
    check_facts("CIFAR-10", (num_classes, in_channels, image_size), (10, 3, 32))
    return ClassificationData(
        image_source(
            partial(load_cifar, "CIFAR10", root), in_channels=in_channels, image_size=image_size
        ),
        num_classes=num_classes,
        batch_size=batch_size,
        val_split=val_split,
        augment=augment,
        seed=seed,
        sampler=sampler,
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
    sampler: str | None = None,
) -> ClassificationData:
    """CIFAR-100 (Krizhevsky 2009): as CIFAR-10, with 100 fine classes."""
    check_facts("CIFAR-100", (num_classes, in_channels, image_size), (100, 3, 32))
    return ClassificationData(
        image_source(
            partial(load_cifar, "CIFAR100", root), in_channels=in_channels, image_size=image_size
        ),
        num_classes=num_classes,
        batch_size=batch_size,
        val_split=val_split,
        augment=augment,
        seed=seed,
        sampler=sampler,
    )


def image_folder(
    root: str | None,
    *,
    num_classes: int | None = None,
    in_channels: int = 3,
    image_size: int = 32,
    interpolation: str | None = None,
    batch_size: int = 128,
    val_split: float = 0.0,
    augment: Augment,
    seed: int,
    sampler: str | None = None,
) -> ClassificationData:
    """Image files `root/<train|val|test>/<class>/*` or `root/<class>/*`.

    Without a test folder a fifth of each class is held out as test, the same one for every seed.
    `num_classes` None is the number of the class folders; `interpolation` None is bilinear.
    """
    check_folder(root, in_channels, image_size)
    check_interpolation(interpolation)
    form = {"in_channels": in_channels, "image_size": image_size, "interpolation": interpolation}
    val_folder = has_val_folder(Path(root))
    if val_folder and val_split > 0:
        raise ValueError(f"{root} has a val folder, so val_split must be 0, not {val_split}")
    return ClassificationData(
        image_source(
            partial(load_folder, Path(root), **form),
            **form,
            has_val=val_folder,
            list_classes=partial(list_classes, Path(root)),
        ),
        num_classes=num_classes,
        batch_size=batch_size,
        val_split=val_split,
        augment=augment,
        seed=seed,
        sampler=sampler,
    )
