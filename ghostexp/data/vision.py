"""Image classification data: a factory for each data set, which are what conf/dataset names.

A data set owns its facts (classes, channels, image size) and the defaults that suit it (batch size,
validation share, augmentation).
"""

from collections.abc import Callable
from functools import partial
from pathlib import Path

from ghostexp.data.augment import Augment
from ghostexp.data.csv_labels import CsvLabels
from ghostexp.data.datamodule import ClassificationData, Source
from ghostexp.data.file_set import FileSet
from ghostexp.data.folder import (
    EXTENSIONS,
    check_folder,
    check_interpolation,
    load_folder,
    load_image,
)
from ghostexp.data.folds import Fold, chosen_fold, folded
from ghostexp.data.in_memory import STANDARD, LabelledSet
from ghostexp.data.public_sets import check_facts, load_cifar, load_digits
from ghostexp.data.read_ahead import Loading
from ghostexp.data.transformed import FileTransforms, evaluation_reader, load_transformed


def image_source(
    load: Callable[[], LabelledSet],
    *,
    in_channels: int,
    image_size: int,
    interpolation: str | None = None,
    has_val: bool = False,
    fold: Fold | None = None,
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
        fold=fold,
        list_classes=list_classes,
    )


def digits(
    *,
    num_classes: int = 10,
    in_channels: int = 1,
    image_size: int = 32,
    batch_size: int = 32,
    val_split: float = 0.0,
    folds: int | None = None,
    fold: int | None = None,
    augment: Augment,
    seed: int,
    sampler: str | None = None,
) -> ClassificationData:
    """scikit-learn's 1,797 handwritten digits, in the package: works offline."""
    check_facts("digits", (num_classes, in_channels, image_size), (10, 1, image_size))
    held_out = chosen_fold(folds, fold, has_test=True, has_val=False, val_split=val_split)
    return ClassificationData(
        image_source(
            folded(partial(load_digits, image_size), held_out),
            in_channels=in_channels,
            image_size=image_size,
            fold=held_out,
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
    folds: int | None = None,
    fold: int | None = None,
    augment: Augment,
    seed: int,
    sampler: str | None = None,
) -> ClassificationData:
    """CIFAR-10 (Krizhevsky 2009): 50,000 and 10,000 images, downloaded into `root`."""
    check_facts("CIFAR-10", (num_classes, in_channels, image_size), (10, 3, 32))
    held_out = chosen_fold(folds, fold, has_test=True, has_val=False, val_split=val_split)
    return ClassificationData(
        image_source(
            folded(partial(load_cifar, "CIFAR10", root), held_out),
            in_channels=in_channels,
            image_size=image_size,
            fold=held_out,
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
    folds: int | None = None,
    fold: int | None = None,
    augment: Augment,
    seed: int,
    sampler: str | None = None,
) -> ClassificationData:
    """CIFAR-100 (Krizhevsky 2009): as CIFAR-10, with 100 fine classes."""
    check_facts("CIFAR-100", (num_classes, in_channels, image_size), (100, 3, 32))
    held_out = chosen_fold(folds, fold, has_test=True, has_val=False, val_split=val_split)
    return ClassificationData(
        image_source(
            folded(partial(load_cifar, "CIFAR100", root), held_out),
            in_channels=in_channels,
            image_size=image_size,
            fold=held_out,
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
    label_pattern: str | None = None,
    group_pattern: str | None = None,
    csv: CsvLabels | None = None,
    files: FileTransforms | None = None,
    batch_size: int = 128,
    val_split: float = 0.0,
    folds: int | None = None,
    fold: int | None = None,
    loading: Loading = STANDARD,
    augment: Augment,
    seed: int,
    sampler: str | None = None,
) -> ClassificationData:
    """Image files `root/<train|val|test>/<class>/*` or `root/<class>/*`, or named otherwise.

    `label_pattern`, `group_pattern` and `csv` are explained in file_set.py. Without a test part the
    fold, or a fifth of each class, is held out as test, the same one for every seed. `num_classes`
    None is the number of the classes; `interpolation` None is bilinear. Without `files` an image is
    its centre square, resized once.
    """
    check_folder(root, in_channels, image_size)
    check_interpolation(interpolation)
    file_set = FileSet(Path(root), EXTENSIONS, label_pattern, group_pattern, csv)
    held_out = file_set.fold(folds, fold, val_split)
    form = {"in_channels": in_channels, "image_size": image_size}
    squares = form | {"interpolation": interpolation}
    if files is None:
        load = partial(load_folder, file_set, held_out, **squares)
    else:
        load = partial(load_transformed, file_set, held_out, files, **form)
    return ClassificationData(
        Source(
            load,
            load_file=evaluation_reader(files, **squares),
            extensions=EXTENSIONS,
            input_shape=(in_channels, image_size, image_size),
            has_val=file_set.has_val,
            fold=held_out,
            list_classes=file_set.class_names,
            loading=loading,
        ),
        num_classes=num_classes,
        batch_size=batch_size,
        val_split=val_split,
        augment=augment,
        seed=seed,
        sampler=sampler,
        keep_groups=file_set.has_groups,
    )
