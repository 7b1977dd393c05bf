"""Image files in one folder per class: decoded once, and kept as one tensor in a cache file."""

import logging
import os
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from io import BytesIO
from pathlib import Path

import numpy as np
import torch
from joblib import cpu_count
from PIL import Image, ImageMode, ImageOps
from torch import Tensor

from ghostexp.data.file_set import FileSet
from ghostexp.data.files import cache_path, cached, in_threads
from ghostexp.data.fingerprint import file_facts
from ghostexp.data.folds import Fold
from ghostexp.data.formats import image_endings
from ghostexp.data.in_memory import (
    InMemory,
    LabelledSet,
)
from ghostexp.data.labelled_files import LabelledFiles, divided

log = logging.getLogger(__name__)

EXTENSIONS = image_endings()
INTERPOLATIONS = {method.name.lower(): method for method in Image.Resampling}
DEFAULT = "bilinear"
MAX_BYTES_IN_MEMORY = 2 * 2**30
CACHE_FORMAT = 1
IMAGES_WORTH_A_BAR = 5000


class ImageFiles:
    """Images decoded whenever they are asked for, of sets too large for memory.

    `read` makes an image uint8 [C, H, W] of a path; `random` says that it draws random numbers.
    """

    def __init__(
        self,
        paths: list[Path],
        *,
        read: Callable[[str], Tensor],
        random: bool = False,
        num_workers: int | None = None,
    ) -> None:
        self.paths = np.array([os.fsencode(path) for path in paths])  # one block: workers share it
        self.read = read
        self.random = random
        self.num_workers = cpu_count() if num_workers is None else num_workers

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, indices: Tensor) -> Tensor:
        paths = map(os.fsdecode, self.paths[indices.numpy()])
        return gathered(map(self.read, paths), len(indices))

    def content(self) -> Iterable[str]:
        return file_facts([Path(os.fsdecode(path)) for path in self.paths])


def check_interpolation(interpolation: str | None) -> None:
    """Refuse a name that Pillow does not know."""
    if interpolation is not None and interpolation not in INTERPOLATIONS:
        raise ValueError(
            f"interpolation is {', '.join(INTERPOLATIONS)} or null, not {interpolation}"
        )


def check_folder(root: str | None, in_channels: int, image_size: int) -> None:
    """Refuse what is wrong before any image is looked at; the folder itself is needed later."""
    if root is None:
        raise ValueError("image_folder needs the folder of the images: give dataset.root=FOLDER")
    check_size("an image folder", in_channels, image_size)


def check_size(what: str, in_channels: int, image_size: int) -> None:
    """Refuse channels and sizes that images cannot be brought to."""
    if in_channels not in (1, 3):
        raise ValueError(f"in_channels of {what} is 1 (grey) or 3 (RGB), not {in_channels}")
    if not isinstance(image_size, int) or image_size < 1:
        raise ValueError(f"image_size is a whole number of pixels, not {image_size}")


def load_folder(
    file_set: FileSet,
    fold: Fold | None = None,
    *,
    in_channels: int,
    image_size: int,
    interpolation: str | None = None,
) -> LabelledSet:
    """Images of a set of files, in memory if they fit; without a test part one is held out."""
    files = file_set.list_files()
    files = divided(files, fold, keep_groups=files.groups is not None)
    if len(files.paths) * image_size**2 * in_channels > MAX_BYTES_IN_MEMORY:
        read = partial(
            load_image,
            in_channels=in_channels,
            image_size=image_size,
            interpolation=interpolation,
        )
        images = ImageFiles(files.paths, read=read)
    else:
        images = InMemory(decode_cached(files, in_channels, image_size, interpolation))
    return files.with_examples(images)


def decode_cached(
    files: LabelledFiles, in_channels: int, image_size: int, interpolation: str | None
) -> Tensor:
    """Pixels uint8 [N, H, W, C] of files, from the cache file of their present content."""
    shape = (len(files.paths), image_size, image_size, in_channels)
    path = cache_path(
        files.root,
        files.paths,
        settings=f"{CACHE_FORMAT} {in_channels} {image_size} {interpolation or DEFAULT}",
        name=f"{in_channels}x{image_size}x{image_size}",
    )
    return cached(
        path,
        lambda: decode(files.paths, in_channels, image_size, interpolation),
        lambda pixels: pixels.shape == shape and pixels.dtype == torch.uint8,
    )


def decode(
    paths: list[Path], in_channels: int, image_size: int, interpolation: str | None = None
) -> Tensor:
    """Pixels uint8 [N, H, W, C] of image files, decoded by one thread per core."""
    pixels = torch.empty(len(paths), image_size, image_size, in_channels, dtype=torch.uint8)

    def decode_one(index: int) -> None:
        image = load_image(paths[index], in_channels, image_size, interpolation)
        pixels[index] = image.permute(1, 2, 0)

    in_threads(decode_one, len(paths), bar_from=IMAGES_WORTH_A_BAR, what="images")
    return pixels


class BadFile(ValueError):
    """A file of the data is not what it should be; often met in the middle of a training."""


def load_image(
    path: str | Path | BytesIO, in_channels: int, image_size: int, interpolation: str | None = None
) -> Tensor:
    """Image uint8 [C, H, W] of a file: its centre square, resized; grey for one channel."""
    method = INTERPOLATIONS[interpolation or DEFAULT]
    image = open_image(path, in_channels, draft=2 * image_size)
    if image.size != (image_size, image_size):
        image = ImageOps.fit(image, (image_size, image_size), method)
    return to_tensor(image)


def open_image(
    path: str | Path | BytesIO, in_channels: int, *, draft: int | None = None, upright: bool = True
) -> Image.Image:
    """Image of a file, grey or RGB; a JPEG decoded smaller, but not below `draft`.

    `upright` applies the orientation that EXIF says.
    """
    mode = "L" if in_channels == 1 else "RGB"
    try:
        with Image.open(path) as image:
            if image.mode.startswith(("I", "F")):
                raise ValueError(f"mode {image.mode} has more than 8 bits per channel")
            if draft is not None:
                image.draft(mode, (draft, draft))
            image = ImageOps.exif_transpose(image) if upright else image
            return image.convert(mode)
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise BadFile(f"{path} cannot be read as an image: {error}") from error


def has_colours(path: Path) -> bool:
    """Whether the header of an image file says so; False for what cannot be read as an image."""
    try:
        with Image.open(path) as image:
            return ImageMode.getmode(image.mode).basemode != "L"
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError):
        return False


def to_tensor(image: Image.Image) -> Tensor:
    """Pixels uint8 [C, H, W] of a grey or RGB image."""
    pixels = np.array(image).reshape(image.height, image.width, -1)
    return torch.from_numpy(pixels).permute(2, 0, 1)


def gathered(images: Iterator[Tensor], count: int) -> Tensor:
    """Images [count, C, H, W] from images [C, H, W]; each is made when it is needed.

    Only one of them is kept beside the batch: a list of them would tear the memory into pieces.
    """
    first = next(images).permute(1, 2, 0)
    pixels = torch.empty(count, *first.shape, dtype=first.dtype)
    pixels[0] = first
    for number, image in enumerate(images, 1):
        pixels[number] = image.permute(1, 2, 0)
    return pixels.permute(0, 3, 1, 2)  # [B, H, W, C] -> [B, C, H, W], channels last


def to_image(pixels: Tensor) -> Image.Image:
    """Grey or RGB image of pixels uint8 [C, H, W]."""
    array = pixels.permute(1, 2, 0).numpy()
    return Image.fromarray(array.squeeze(2) if array.shape[2] == 1 else array)
