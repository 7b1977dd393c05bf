"""Made photos of ImageNet's form, for measurements where no data set is at hand."""

from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

CLASSES = 10
SIDES = ((500, 375), (500, 375), (500, 375), (375, 500))  # most of ImageNet's photos are wide
LAYERS = ((3, 50), (10, 35), (40, 20), (120, 10))  # cells across, and their contrast
GRAIN = 7.0  # of 255; with it a file is as long as ImageNet's mean, about 110 kB
QUALITY = 95


def make_photos(root: Path, train: int, val: int) -> None:
    """Write `root/<train|val>/<class>/*.jpg`: smooth colours, edges and grain, each another one."""
    for split, count in (("train", train), ("val", val)):
        for number in range(count):
            folder = root / split / f"class{number % CLASSES}"
            folder.mkdir(parents=True, exist_ok=True)
            generator = np.random.default_rng([split == "val", number])
            image = made_photo(*SIDES[number % len(SIDES)], generator)
            image.save(folder / f"{number:05d}.jpg", quality=QUALITY)


def made_photo(width: int, height: int, generator: np.random.Generator) -> Image.Image:
    """A picture whose contrast falls from large shapes to small ones, as a photo's does."""
    pixels = np.full((height, width, 3), 128, np.float32)
    for cells, contrast in LAYERS:
        noise = generator.integers(256, size=(cells, cells, 3), dtype=np.uint8)
        grown = Image.fromarray(noise).resize((width, height), Image.Resampling.BICUBIC)
        pixels += (np.asarray(grown, np.float32) - 128) * (contrast / 64)
    pixels += generator.normal(scale=GRAIN, size=(height, width, 1)).astype(np.float32)
    image = Image.fromarray(pixels.clip(0, 255).astype(np.uint8))
    draw = ImageDraw.Draw(image)
    for _ in range(4):
        left, top = generator.integers(width), generator.integers(height)
        box = (left, top, left + generator.integers(20, 120), top + generator.integers(20, 120))
        draw.ellipse([int(edge) for edge in box], fill=tuple(generator.integers(256, size=3)))
    return image
