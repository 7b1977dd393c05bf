"""Augmentation and normalisation of whole batches, on the device that the batch is on.

Images are uint8 [N, C, H, W] in channels_last memory, so that a row of an image is one contiguous
run of W * C bytes, which a crop copies at once. Every draw comes from the generator given.
"""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

from ghostexp.data.draws import Place, drawing_from

# of CIFAR-10's training images, where a config says nothing else
MEAN = (0.4914, 0.4822, 0.4465)
STD = (0.2470, 0.2435, 0.2616)
CROP_PADDING = 4  # of CIFAR's usual augmentation (He et al. 2016)
MULTIPLIER = 2654435761  # Knuth's, for hashes of whole numbers

Mix = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]


class Augment:
    """uint8 images to normalised float images, on their device; for training also augmented.

    `crop_padding` pixels of black, None for 4, are laid around the image, and a random window of
    the image's size stays; `flip` mirrors half of the images, and with `alternate_flips` every
    epoch mirrors the half that the epoch before did not (Jordan 2024,
    https://arxiv.org/abs/2404.00498); `cutout` is the side of a square of the mean colour, its
    centre anywhere (DeVries and Taylor 2017), 0 for none; `mean` and `std` are per channel, of
    pixels in [0, 1], None for CIFAR-10's; `mix` is called with (images, labels), as torchvision's
    MixUp and CutMix. `train_size` is the side in pixels that images for training are resized to;
    evaluation keeps theirs.
    """

    def __init__(
        self,
        *,
        crop_padding: int | None = None,
        flip: bool = True,
        cutout: int = 0,
        mean: list[float] | None = None,
        std: list[float] | None = None,
        mix: Mix | None = None,
        train_size: int | None = None,
        alternate_flips: bool = False,
    ) -> None:
        crop_padding = CROP_PADDING if crop_padding is None else crop_padding
        for name, pixels in (("crop_padding", crop_padding), ("cutout", cutout)):
            if not isinstance(pixels, int) or pixels < 0:
                raise ValueError(f"{name} is a whole number of pixels, not {pixels}")
        if train_size is not None and (not isinstance(train_size, int) or train_size < 1):
            raise ValueError(f"train_size is a whole number of pixels above 0, not {train_size}")
        if (mean is None) != (std is None):
            raise ValueError(f"mean and std are given together or not at all, not {mean} and {std}")
        mean, std = (mean or MEAN, std or STD)
        if len(mean) != len(std) or min(std) <= 0:
            raise ValueError(
                f"mean and std need one value per channel, std above 0, not {mean} and {std}"
            )
        if alternate_flips and not flip:
            raise ValueError("alternate_flips needs flip=true")
        self.crop_padding = crop_padding
        self.flip = flip
        self.alternate_flips = alternate_flips
        self.cutout = cutout
        self.num_channels = len(mean)
        self.mean = torch.tensor(mean)
        self.std = torch.tensor(std)
        self.mix = mix
        self.train_size = train_size

    def train(self, images: Tensor, labels: Tensor, place: Place) -> tuple[Tensor, Tensor]:
        """Augmented images and their targets: labels [B], or class shares [B, K] when mixed."""
        generator = place.generator()
        if self.alternate_flips:
            images = alternately_mirrored(images, place)
        if self.crop_padding or self.flip:
            flip = self.flip and not self.alternate_flips
            images = random_crop_flip(
                images, padding=self.crop_padding, flip=flip, generator=generator
            )
        images = self.evaluate(images)
        if self.cutout:
            cut_out(images, size=self.cutout, generator=generator)
        if self.train_size is not None:
            images = resize(images, self.train_size)
        if self.mix is None:
            return images, labels
        return mix_batch(self.mix, images, labels, generator)

    def evaluate(self, images: Tensor) -> Tensor:
        """Normalised images, float32."""
        n, c, h, w = images.shape
        scale = (1 / (255 * self.std)).repeat(w).to(images.device)
        shift = (-self.mean / self.std).repeat(w).to(images.device)
        rows = images.permute(0, 2, 3, 1).reshape(n, h, w * c)
        return rows.float().mul_(scale).add_(shift).view(n, h, w, c).permute(0, 3, 1, 2)

    def picture(self, inputs: Tensor) -> Tensor:
        """Images in [0, 1] to look at, of normalised ones."""
        mean, std = (values.view(-1, 1, 1).to(inputs.device) for values in (self.mean, self.std))
        return (inputs.float() * std + mean).clamp(0, 1)


def random_crop_flip(
    images: Tensor, *, padding: int, flip: bool, generator: torch.Generator
) -> Tensor:
    """Random windows of black-padded images [N, C, H, W], half of them mirrored, as one gather."""
    n, c, h, w = images.shape
    top, left = torch.randint(2 * padding + 1, (2, n, 1), generator=generator)
    image = torch.arange(n)[:, None]
    padded = F.pad(images.permute(0, 2, 3, 1), (0, 0, padding, padding, padding, padding))
    height, width = padded.shape[1:3]
    if flip:
        padded = torch.stack([padded, padded.flip(2)])  # a mirrored window of the mirrored image
        image = image + n * torch.randint(2, (n, 1), generator=generator)
    starts = (image * height + top + torch.arange(h)) * width + left  # [N, H], in pixels
    runs = padded.flatten().unfold(0, w * c, c)  # a row of W pixels from every pixel on
    rows = runs.index_select(0, starts.flatten().to(images.device))
    return rows.view(n, h, w, c).permute(0, 3, 1, 2)


def alternately_mirrored(images: Tensor, place: Place) -> Tensor:
    """Images [N, C, H, W]; each image is mirrored in every second epoch.

    Which images are mirrored in even epochs follows from the seed and the sums of their pixels, so
    that no index of the image is needed.
    """
    sums = images.sum((1, 2, 3), dtype=torch.int64)
    hashes = (sums + place.seed) * MULTIPLIER >> 16
    mirrored = (hashes + place.epoch) % 2 == 1
    return torch.where(mirrored[:, None, None, None], images.flip(3), images)


def resize(images: Tensor, size: int) -> Tensor:
    """Images [N, C, size, size], bilinear; where they shrink, a pixel averages what it covers."""
    return F.interpolate(images, (size, size), mode="bilinear", align_corners=False, antialias=True)


def cut_out(images: Tensor, *, size: int, generator: torch.Generator) -> None:
    """Set one square per image to 0 in place, the mean of normalised images; borders cut it."""
    n, _, h, w = images.shape
    rows = torch.arange(h) - torch.randint(h, (n, 1), generator=generator) + size // 2
    columns = torch.arange(w) - torch.randint(w, (n, 1), generator=generator) + size // 2
    inside_rows = (rows >= 0) & (rows < size)  # [N, H]
    inside_columns = (columns >= 0) & (columns < size)  # [N, W]
    square = inside_rows[:, None, :, None] & inside_columns[:, None, None, :]  # [N, 1, H, W]
    images.masked_fill_(square.to(images.device), 0.0)


def mix_batch(
    mix: Mix, images: Tensor, labels: Tensor, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """`mix(images, labels)`, its draws from `generator` and not from the global ones."""
    seed = int(torch.randint(2**62, (), generator=generator))
    with drawing_from(seed):  # torchvision draws from the global CPU generator
        return mix(images, labels)
