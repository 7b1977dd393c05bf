"""Image files read through transforms, for training through others than for evaluation: ImageNet.

A transform takes and gives one PIL image, in a process that reads ahead. Flips, normalisation and
what mixes images are `Augment`'s, a batch at a time on the training device.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from io import BytesIO
from pathlib import Path

from PIL import Image
from torch import Tensor

from ghostexp.data.augment import Augment
from ghostexp.data.datamodule import ClassificationData, Source
from ghostexp.data.file_set import FileSet
from ghostexp.data.folder import (
    DEFAULT,
    EXTENSIONS,
    ImageFiles,
    check_folder,
    load_image,
    open_image,
    to_image,
    to_tensor,
)
from ghostexp.data.folds import Fold, chosen_fold, folded
from ghostexp.data.in_memory import STANDARD, LabelledSet
from ghostexp.data.jpeg import log_decoder, read_part
from ghostexp.data.labelled_files import LabelledFiles, divided
from ghostexp.data.read_ahead import Loading
from ghostexp.data.tree import check_root, list_classes, scan

Transform = Callable[[Image.Image], Image.Image]


@dataclass(frozen=True)
class FileTransforms:
    """What is done to an image, one after the other, and in how many processes on this machine.

    Random transforms draw from the global generator of torch, as torchvision.transforms.v2 does, of
    numpy or of `random`: then what they draw follows from the run's seed, epoch and batch.
    """

    train: Sequence[Transform]
    evaluate: Sequence[Transform]
    num_workers: int | None = None  # one a core

    def __post_init__(self) -> None:
        workers = self.num_workers
        if workers is not None and (not isinstance(workers, int) or workers < 0):
            raise ValueError(f"num_workers is a whole number of at least 0, or null, not {workers}")


def centre_crop(size: int, *, share: float = 0.875, interpolation: str | None = None) -> Transform:
    """The centre, `size` pixels wide, of an image whose shorter side is resized to size / share."""
    from torchvision.transforms import v2  # a second of imports that only these data sets need

    method = v2.InterpolationMode(interpolation or DEFAULT)
    return v2.Compose([v2.Resize(round(size / share), method), v2.CenterCrop(size)])


def random_resized_crop(
    size: int, *, scale: Sequence[float] = (0.08, 1.0), interpolation: str | None = None
) -> Transform:
    """A random part of an image, a share in `scale` of its area, resized to `size` pixels."""
    from torchvision.transforms import v2

    method = v2.InterpolationMode(interpolation or DEFAULT)
    return v2.RandomResizedCrop(size, scale=tuple(scale), interpolation=method)


def read_transformed(
    path: str | Path | BytesIO,
    transforms: Sequence[Transform],
    *,
    in_channels: int,
    image_size: int,
) -> Tensor:
    """Image uint8 [C, image_size, image_size] of a file after `transforms`."""
    pixels = read_part(path, transforms, in_channels)
    if pixels is None:
        pixels = _transformed(open_image(path, in_channels), transforms)
    elif transforms[1:]:
        pixels = _transformed(to_image(pixels), transforms[1:])
    height, width = pixels.shape[1:]
    if (height, width) != (image_size, image_size):
        raise ValueError(
            f"the transforms make {path} {width}x{height} pixels, and image_size is {image_size}"
        )
    return pixels


def _transformed(image: Image.Image, transforms: Sequence[Transform]) -> Tensor:
    for transform in transforms:
        image = transform(image)
    return to_tensor(image)


def evaluation_reader(
    files: FileTransforms | None, *, in_channels: int, image_size: int, interpolation: str | None
) -> Callable[[str | Path | BytesIO], Tensor]:
    """What reads an image for evaluation: without `files` its centre square, resized."""
    form = {"in_channels": in_channels, "image_size": image_size}
    if files is None:
        return partial(load_image, **form, interpolation=interpolation)
    return partial(read_transformed, transforms=files.evaluate, **form)


def imagenet_files(root: Path) -> LabelledFiles:
    """The files `root/<train|val>/<class>/*`; the files of val are the test set."""
    check_root(root)
    for split in ("train", "val"):
        if not (root / split).is_dir():
            raise ValueError(f"{root} has no folder {split}: ImageNet is expected as train and val")
    tree = scan(root, EXTENSIONS, ("train", "val"))
    counts = tree.counts
    splits = ["train"] * counts["train"] + ["test"] * counts["val"]
    return LabelledFiles(root, tree.paths, tree.labels, tree.class_names, splits)


def load_imagenet(
    root: Path, files: FileTransforms, *, in_channels: int, image_size: int
) -> LabelledSet:
    """Images of `imagenet_files`, read through transforms."""
    return read_through(imagenet_files(root), files, in_channels=in_channels, image_size=image_size)


def load_transformed(
    file_set: FileSet,
    fold: Fold | None,
    files: FileTransforms,
    *,
    in_channels: int,
    image_size: int,
) -> LabelledSet:
    """Images of a set of files, read through transforms; without a test part one is held out."""
    listed = file_set.list_files()
    listed = divided(listed, fold, keep_groups=listed.groups is not None)
    return read_through(listed, files, in_channels=in_channels, image_size=image_size)


def read_through(
    listed: LabelledFiles, files: FileTransforms, *, in_channels: int, image_size: int
) -> LabelledSet:
    """The set of these files, for training read through other transforms than for evaluation."""

    def images(transforms: Sequence[Transform], random: bool) -> ImageFiles:
        read = partial(
            read_transformed, transforms=transforms, in_channels=in_channels, image_size=image_size
        )
        return ImageFiles(listed.paths, read=read, random=random, num_workers=files.num_workers)

    log_decoder(files.train)
    return listed.with_examples(images(files.evaluate, False), images(files.train, True))


def photo_source(
    load: Callable[[], LabelledSet],
    files: FileTransforms,
    *,
    in_channels: int,
    image_size: int,
    fold: Fold | None,
    list_classes: Callable[[], list[str]],
    loading: Loading,
) -> Source:
    """Photos that `load` reads through the transforms of `files`; `fold` is held out."""
    form = {"in_channels": in_channels, "image_size": image_size}
    return Source(
        folded(load, fold),
        load_file=partial(read_transformed, transforms=files.evaluate, **form),
        extensions=EXTENSIONS,
        input_shape=(in_channels, image_size, image_size),
        fold=fold,
        list_classes=list_classes,
        loading=loading,
    )


def imagenet(
    root: str,
    *,
    num_classes: int | None = 1000,
    in_channels: int = 3,
    image_size: int = 224,
    batch_size: int = 256,
    val_split: float = 0.0,
    folds: int | None = None,
    fold: int | None = None,
    files: FileTransforms,
    loading: Loading = STANDARD,
    augment: Augment,
    seed: int,
    sampler: str | None = None,
) -> ClassificationData:
    """ImageNet (ILSVRC 2012), or any folders of its form: `root/<train|val>/<class>/*`.

    The classes of ImageNet's test images are secret: as in the papers, val is what is tested.
    """
    check_folder(root, in_channels, image_size)
    held_out = chosen_fold(folds, fold, has_test=True, has_val=False, val_split=val_split)
    form = {"in_channels": in_channels, "image_size": image_size}
    return ClassificationData(
        photo_source(
            partial(load_imagenet, Path(root), files, **form),
            files,
            **form,
            fold=held_out,
            list_classes=partial(list_classes, Path(root), ("train",)),
            loading=loading,
        ),
        num_classes=num_classes,
        batch_size=batch_size,
        val_split=val_split,
        augment=augment,
        seed=seed,
        sampler=sampler,
    )
