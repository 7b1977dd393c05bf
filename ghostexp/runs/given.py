"""What a program gives to a network: a file, or an image or sound in memory, which becomes a file.

So an image in memory is read by the same code as an image on disk. PNG and WAV lose nothing.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from PIL import Image
from torch import Tensor

from ghostexp.config.explain import UserError

Given = str | Path | Image.Image | np.ndarray | Tensor


@contextmanager
def as_files(given: Sequence[Given], sample_rate: int | None) -> Iterator[list[Path]]:
    """A file for each thing that is given; those that are written for it go with the block.

    Arrays are images [H, W] or [H, W, channels], tensors [channels, H, W]: whole numbers 0 to 255,
    or floats 0 to 1. With a `sample_rate` they are sounds [T] of this rate, from -1 to 1.
    """
    with TemporaryDirectory() as folder:
        yield [_file(each, Path(folder) / str(k), sample_rate) for k, each in enumerate(given)]


def in_memory(given: Given) -> bool:
    """Whether there is no file of a name that a person would know."""
    return not isinstance(given, str | Path)


def _file(given: Given, path: Path, sample_rate: int | None) -> Path:
    if isinstance(given, str | Path):
        return Path(given)
    if isinstance(given, Image.Image):
        picture = given if given.mode in ("L", "RGB", "RGBA", "P", "1") else given.convert("RGB")
        picture.save(path.with_suffix(".png"))
        return path.with_suffix(".png")
    if not isinstance(given, np.ndarray | Tensor):
        raise UserError(
            f"the type {type(given).__name__} is no input: give a path, a PIL image, an array or"
            " a tensor"
        )
    if sample_rate is not None:
        return _sound(_array(given), path.with_suffix(".wav"), sample_rate)
    values = _array(given)
    if isinstance(given, Tensor) and values.ndim == 3:
        values = values.transpose(1, 2, 0)
    Image.fromarray(_pixels(values)).save(path.with_suffix(".png"))
    return path.with_suffix(".png")


def _array(given: np.ndarray | Tensor) -> np.ndarray:
    return given.detach().cpu().numpy() if isinstance(given, Tensor) else given


def _pixels(values: np.ndarray) -> np.ndarray:
    """uint8 [H, W] or [H, W, 3 or 4]."""
    if values.ndim == 3 and values.shape[2] == 1:
        values = values[:, :, 0]
    if not (values.ndim == 2 or (values.ndim == 3 and values.shape[2] in (3, 4))):
        raise UserError(
            f"an image cannot have the shape {values.shape}: give an array [H, W] or [H, W, 3],"
            " or a tensor [3, H, W]; a batch is a list of images"
        )
    if values.dtype == np.uint8:
        return values
    scale = 255 if np.issubdtype(values.dtype, np.floating) else 1
    pixels = values * scale
    if not (np.isfinite(pixels).all() and pixels.min() >= 0 and pixels.max() <= 255):
        raise UserError(
            f"the pixels go from {values.min()} to {values.max()}: whole numbers must lie in 0 to"
            " 255, and floats in 0 to 1, before any normalisation"
        )
    return np.round(pixels).astype(np.uint8)


def _sound(values: np.ndarray, path: Path, sample_rate: int) -> Path:
    if values.ndim != 1:
        raise UserError(
            f"a sound cannot have the shape {values.shape}: give one value per sample, [T]"
        )
    import soundfile  # an extra

    subtype = "PCM_16" if values.dtype == np.int16 else "FLOAT"
    soundfile.write(path, values, sample_rate, subtype=subtype)
    return path
