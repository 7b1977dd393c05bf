"""How well a feature map can be made from another map of its layer by a cheap operation.

This is the motive of "GhostNet: More Features from Cheap Operations", Han et al., CVPR 2020,
section 4.1, https://arxiv.org/abs/1911.11907. The paper shows it for three pairs of maps of
ResNet-50, with kernels learnt by gradient descent. Here it is computed for every map of every
convolution, in closed form. Map j is fitted by a d x d kernel over map i, with zeros around the
image, by least squares over all pixels of all images. This is done for every other map i, and the
smallest mean squared error counts. Maps are standardised to mean 0 and variance 1 over the images,
as batch norm does, so an error of 1 says that the kernel explains nothing.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.functional import unfold

from ghostexp.analysis.features import layer_outputs

KERNEL_SIZES = (1, 3, 5, 7)  # d
SMALL_ERROR = 0.1


@dataclass(frozen=True)
class RedundancyRow:
    """One layer. `errors` has one value for each kernel size: the mean over the layer's maps.

    The error of a map is the smallest one that any other map of the layer gives. `redundant` is the
    share of maps whose error is at most SMALL_ERROR. Maps that never vary are counted in `dead` and
    left out of both numbers.
    """

    layer: str
    maps: int
    dead: int
    errors: dict[int, float]
    redundant: dict[int, float]


def dense_convolutions(net: nn.Module) -> list[str]:
    """Names of the convolutions that could be Ghost modules: not grouped, of two maps or more."""
    return [
        name
        for name, module in net.named_modules()
        if isinstance(module, nn.Conv2d) and module.groups == 1 and module.out_channels > 1
    ]


def measure_redundancy(net: nn.Module, layer: str, batches: Iterable[Tensor]) -> RedundancyRow:
    """Fit the maps of one layer by each other, over all batches of normalised images.

    ValueError if fewer than two maps vary.
    """
    maps = torch.cat([layer_outputs(net, [layer], images)[layer] for images in batches])
    mean = maps.double().mean((0, 2, 3), keepdim=True)
    std = maps.double().std((0, 2, 3), correction=0, keepdim=True)
    alive = (std > 1e-6 * mean.abs()).flatten() & (std.flatten() > 0)
    standard = ((maps.double() - mean) / std)[:, alive]
    if standard.shape[1] < 2:
        raise ValueError(f"layer {layer!r} has fewer than two maps that vary: nothing to compare")
    errors = fit_errors(standard).amin(1)  # [kernel sizes, maps]
    return RedundancyRow(
        layer=layer,
        maps=maps.shape[1],
        dead=int((~alive).sum()),
        errors=dict(zip(KERNEL_SIZES, errors.mean(1).tolist(), strict=True)),
        redundant=dict(
            zip(KERNEL_SIZES, (errors <= SMALL_ERROR).double().mean(1).tolist(), strict=True)
        ),
    )


def fit_errors(maps: Tensor) -> Tensor:
    """Mean squared errors [kernel sizes, i, j] of map j fitted over map i; infinite for i = j.

    `maps` [N, C, H, W] are standardised. One sum over pixels serves all kernel sizes, because the
    taps of a smaller kernel are the inner taps of the largest.
    """
    channels = maps.shape[1]
    largest = max(KERNEL_SIZES)
    targets = maps.transpose(0, 1).flatten(1)  # [C, pixels]
    pixels = targets.shape[1]
    errors = torch.full((len(KERNEL_SIZES), channels, channels), torch.inf, dtype=maps.dtype)
    for i in range(channels):
        taps = unfold(maps[:, i : i + 1], largest, padding=largest // 2)  # [N, d * d, H * W]
        taps = taps.transpose(0, 1).flatten(1)  # [d * d, pixels]
        gram, cross = taps @ taps.T / pixels, taps @ targets.T / pixels  # cross: [d * d, C]
        for k, size in enumerate(KERNEL_SIZES):
            inner = _inner_taps(size, largest)
            weights = torch.linalg.pinv(gram[inner][:, inner], hermitian=True) @ cross[inner]
            errors[k, i] = (1 - (weights * cross[inner]).sum(0)).clamp(min=0)
        errors[:, i, i] = torch.inf
    return errors


def _inner_taps(size: int, largest: int) -> Tensor:
    """Indices of the `size` x `size` taps in the middle of `largest` x `largest`."""
    margin = (largest - size) // 2
    grid = torch.arange(largest * largest).view(largest, largest)
    return grid[margin : margin + size, margin : margin + size].flatten()
