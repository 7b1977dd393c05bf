"""Circles, squares and triangles on noise with exact boxes: detection that works offline.

Every pixel follows from fixed seeds; all runs see the same images. Shapes do not overlap, their
colour differs from the background's in every channel, and some images show none.
"""

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ghostexp.data.boxes import DetectionSet, Object, Record, make_record

CLASS_NAMES = ["circle", "square", "triangle"]
COUNTS = {"train": 512, "val": 128, "test": 256}
MAX_SHAPES = 4  # an image has 0 to 4, each number as often
SIDES = (1 / 8, 3 / 8)  # of a shape, as shares of the image's shorter side
CONTRAST = 80  # least difference from the background in each channel, of 255
NOISE = 16  # standard deviation
TRIES = 20  # to find a place for a shape

Mask = NDArray[np.bool_]


def load_shapes(image_size: tuple[int, int]) -> DetectionSet:
    """The rendered images, (height, width) pixels, of all splits."""
    splits: dict[str, list[Record]] = {}
    pixels: dict[Path, Tensor] = {}
    for number, (split, count) in enumerate(COUNTS.items()):
        generator = np.random.default_rng([number, *image_size])
        splits[split] = []
        for _ in range(count):
            image, objects = render(generator, *image_size)
            image_id = len(pixels)
            file = Path("shapes", split, f"{image_id:04}.png")
            pixels[file] = torch.from_numpy(image).permute(2, 0, 1).contiguous()
            splits[split].append(make_record(file, image_id, image_size[::-1], objects))
    return DetectionSet(CLASS_NAMES, [1, 2, 3], **splits, pixels=pixels)


def render(
    generator: np.random.Generator, height: int, width: int
) -> tuple[NDArray[np.uint8], list[Object]]:
    """Pixels [H, W, 3] of one image, and its shapes."""
    background = generator.uniform(0, 256, 3)
    image = np.broadcast_to(background, (height, width, 3)).copy()
    taken = np.zeros((height, width), bool)
    objects = []
    for _ in range(generator.integers(MAX_SHAPES + 1)):
        label = int(generator.integers(1, 4))
        mask = _place(generator, label, taken)
        if mask is None:
            continue
        image[mask] = (background + generator.uniform(CONTRAST, 256 - CONTRAST, 3)) % 256
        left, top, right, bottom = box = bounds(mask)
        taken[max(top - 1, 0) : bottom + 1, max(left - 1, 0) : right + 1] = True
        objects.append(Object(box, label, int(mask.sum())))
    image += generator.normal(0, NOISE, image.shape)
    return image.round().clip(0, 255).astype(np.uint8), objects


def draw(label: int, centre: tuple[float, float], side: float, size: tuple[int, int]) -> Mask:
    """Pixels [H, W] of a shape of `side` pixels around `centre`, (down, across)."""
    rows, columns = np.ogrid[: size[0], : size[1]]
    down, across = rows + 0.5 - centre[0], columns + 0.5 - centre[1]
    half = side / 2
    if label == 1:
        return down**2 + across**2 <= half**2
    square = (np.abs(down) <= half) & (np.abs(across) <= half)
    return square if label == 2 else square & (2 * np.abs(across) <= down + half)


def bounds(mask: Mask) -> tuple[int, int, int, int]:
    """(left, top, right, bottom) of the true pixels, right and bottom being the first without."""
    rows, columns = mask.any(axis=1).nonzero()[0], mask.any(axis=0).nonzero()[0]
    return int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1


def _place(generator: np.random.Generator, label: int, taken: Mask) -> Mask | None:
    """A shape of random size at a random free place; None where none was found."""
    height, width = taken.shape
    for _ in range(TRIES):
        side = generator.uniform(*SIDES) * min(height, width)
        half = side / 2
        centre = (generator.uniform(half, height - half), generator.uniform(half, width - half))
        mask = draw(label, centre, side, (height, width))
        left, top, right, bottom = bounds(mask)
        if not taken[top:bottom, left:right].any():
            return mask
    return None
