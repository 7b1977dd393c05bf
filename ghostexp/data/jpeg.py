"""A random part of a JPEG, decoded by libjpeg-turbo no larger than the part needs.

simplejpeg, an extra (pip install ghostexp[jpeg]), brings libjpeg-turbo. The part is drawn on the
true size of the photo by torchvision's own RandomResizedCrop. The photo is then decoded at 1, 1/2,
1/4 or 1/8 of its size (the discrete cosine transform gives these at once), whichever is the
smallest at which the part has at least as many pixels as the result. What simplejpeg does not take
is left to Pillow: other formats, CMYK, photos that EXIF turns, and files that it finds damaged.
"""

import logging
from collections.abc import Sequence
from functools import cache
from io import BytesIO
from math import ceil
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional

log = logging.getLogger(__name__)

START = b"\xff\xd8\xff"  # of every JPEG
ORIENTATION = 0x0112  # a key of EXIF; 1 is upright
SCALES = (8, 4, 2)  # all have kernels of their own in libjpeg-turbo; 3/8, 5/8 and more are slower
METHODS = {"bilinear": Image.Resampling.BILINEAR, "bicubic": Image.Resampling.BICUBIC}


@cache
def decoder() -> Any:
    """The package simplejpeg, or None where it is not installed."""
    try:
        import simplejpeg
    except ImportError:
        return None
    return simplejpeg


def log_decoder(transforms: Sequence[Any]) -> None:
    """Say once per data set which library decodes the photos of the training."""
    if decoder() is None:
        log.info("images are decoded by Pillow; pip install 'ghostexp[jpeg]' makes JPEGs faster")
    elif transforms and is_part(transforms[0]):
        log.info("JPEGs are decoded by simplejpeg for training, and by Pillow for tests")


def is_part(transform: Any) -> bool:
    """Whether a transform cuts a random part that can be cut while a JPEG is decoded."""
    from torchvision.transforms import v2

    return type(transform) is v2.RandomResizedCrop and _method(transform) in METHODS


def read_part(
    source: str | Path | BytesIO, transforms: Sequence[Any], in_channels: int
) -> Tensor | None:
    """Pixels uint8 [C, H, W] after the first of the transforms; None leaves the file to Pillow.

    The first transform draws what it would draw for Pillow's image.
    """
    if decoder() is None or not transforms or not is_part(transforms[0]):
        return None
    crop = transforms[0]
    data = source.getvalue() if isinstance(source, BytesIO) else Path(source).read_bytes()
    size = _plain_size(data)
    if size is None:
        return None
    width, height = size
    before = torch.get_rng_state()
    part = crop.make_params([torch.empty(0, height, width)])
    scale = _scale(part, crop.size)
    try:
        pixels = decoder().decode_jpeg(
            data,
            colorspace="GRAY" if in_channels == 1 else "RGB",
            min_height=ceil(height / scale),
            min_width=ceil(width / scale),
            min_factor=scale,
        )
    except ValueError:  # damaged: Pillow tells how, or reads it nevertheless
        torch.set_rng_state(before)
        return None
    return _resized(pixels, part, scale, crop)


def _method(crop: Any) -> Any:
    """torchvision takes the name of an interpolation, and an enumeration of these names."""
    return getattr(crop.interpolation, "value", crop.interpolation)


def _plain_size(data: bytes) -> tuple[int, int] | None:
    """Width and height of an upright JPEG, grey or in colours; None for any other file."""
    if not data.startswith(START):
        return None
    try:
        with Image.open(BytesIO(data)) as image:  # reads the header alone
            upright = "exif" not in image.info or image.getexif().get(ORIENTATION, 1) == 1
            return image.size if upright and image.mode in ("L", "RGB") else None
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError):
        return None  # Pillow tells it once more to whoever asked for the image


def _scale(part: dict[str, int], size: Sequence[int]) -> int:
    """By how much a photo may be decoded smaller, so that the part keeps `size` (H, W) pixels."""
    height, width = size
    room = min(part["height"] / height, part["width"] / width)
    return next((scale for scale in SCALES if scale <= room), 1)


def _resized(pixels: np.ndarray, part: dict[str, int], scale: int, crop: Any) -> Tensor:
    """The part [C, H, W] of pixels [H, W, C], resized with antialiasing to the crop's size."""
    top, left, height, width = (part[key] for key in ("top", "left", "height", "width"))
    if scale == 1:
        cut = torch.from_numpy(pixels[top : top + height, left : left + width].copy())
        cut = cut.permute(2, 0, 1)[None]  # [H, W, C] -> [1, C, H, W], channels last
        return functional.interpolate(cut, crop.size, mode=_method(crop), antialias=True)[0]
    box = tuple(edge / scale for edge in (left, top, left + width, top + height))
    image = Image.fromarray(pixels.squeeze(2) if pixels.shape[2] == 1 else pixels)
    resized = image.resize(crop.size[::-1], METHODS[_method(crop)], box)  # torch knows no fractions
    return torch.from_numpy(np.array(resized)).reshape(*crop.size, -1).permute(2, 0, 1)
