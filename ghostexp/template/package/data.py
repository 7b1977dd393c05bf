"""Images of stripes in two directions. Put your data in their place."""

import torch

from ghostexp.data import Augment, ClassificationData, InMemory, LabelledSet
from ghostexp.data.vision import image_source

CLASS_NAMES = ["across", "along"]
TRAIN, TEST = 400, 100


def stripes(
    *,
    num_classes: int,
    in_channels: int,
    image_size: int,
    batch_size: int,
    val_split: float,
    augment: Augment,
    seed: int,
) -> ClassificationData:
    """400 images to train on and 100 to test, the same ones for every seed."""
    return ClassificationData(
        image_source(
            lambda: load_stripes(image_size), in_channels=in_channels, image_size=image_size
        ),
        num_classes=num_classes,
        batch_size=batch_size,
        val_split=val_split,
        augment=augment,
        seed=seed,
    )


def load_stripes(size: int) -> LabelledSet:
    """Waves of random length in noise, uint8 [N, size, size, 1]."""
    generator = torch.Generator().manual_seed(0)
    count = TRAIN + TEST
    labels = torch.arange(count) % len(CLASS_NAMES)
    length = 3 + 5 * torch.rand(count, 1, 1, generator=generator)
    wave = torch.sin(2 * torch.pi * torch.arange(size) / length).expand(count, size, size)
    waves = torch.where(labels[:, None, None] == 0, wave, wave.transpose(1, 2))
    noise = torch.randn(count, size, size, generator=generator)
    pixels = (128 + 50 * waves + 50 * noise).clamp(0, 255).to(torch.uint8)
    indices = torch.arange(count)
    return LabelledSet(
        InMemory(pixels[..., None]),
        labels,
        CLASS_NAMES,
        train=indices[:TRAIN],
        val=indices[:0],
        test=indices[TRAIN:],
    )
