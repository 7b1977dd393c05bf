"""How well blurred and moved copies of maps fit other maps: least squares, from sums over images.

A copy is a map blurred by a Gaussian, whose standard deviation is one of SIGMAS, and moved by one
of SHIFTS.
"""

from collections.abc import Sequence
from math import ceil, nan

import torch
from torch import Tensor
from torch.nn.functional import conv2d, pad

from ghostexp.analysis.features import GhostMaps

SIGMAS = (0.0, 0.5, 1.0, 1.5)  # pixels
MAX_SHIFT = 2  # pixels
STEPS = range(-MAX_SHIFT, MAX_SHIFT + 1)
SHIFTS = [(down, right) for down in STEPS for right in STEPS]
UNMOVED = SHIFTS.index((0, 0))  # with the first sigma: the intrinsic map itself
ROUNDING = 1e-10  # a variance below this share of the mean square is rounding
ELEMENTS_AT_ONCE = 2**22


class CopyFit:
    """Least-squares fits of all copies to all ghosts of one Ghost module, from sums over batches.

    With m intrinsic maps, t ghosts of each and K copies these are, in float64: sums and squares of
    the copies [m, K], products of copies and ghosts [m, K, t], sums and squares of ghosts [m, t].
    """

    def __init__(self) -> None:
        self.pixels = 0
        self.sums: list[Tensor] = []

    def update(self, maps: GhostMaps, kinds: Sequence[Tensor]) -> None:
        """Add a batch with ghosts of one or more kinds, each [N, up to m * r, H, W].

        The t ghosts of an intrinsic map are its r ghosts of the first kind, then of the next.
        """
        at_once = max(1, ELEMENTS_AT_ONCE // (len(SHIFTS) * maps.intrinsic[0].numel()))
        for first in range(0, len(maps.intrinsic), at_once):
            chosen = slice(first, first + at_once)
            intrinsic = maps.intrinsic[chosen].double()
            targets = [_by_intrinsic(kind[chosen].double(), maps) for kind in kinds]
            self._add(intrinsic, torch.cat(targets, dim=1))

    def _add(self, intrinsic: Tensor, targets: Tensor) -> None:
        parts = []
        for sigma in SIGMAS:
            copies = shifted_copies(intrinsic, sigma)  # [m, shifts, pixels]
            parts.append((copies.sum(2), copies.square().sum(2), copies @ targets.mT))
        sums = [torch.cat(part, dim=1) for part in zip(*parts, strict=True)]
        sums += [targets.sum(2), targets.square().sum(2)]
        self.sums = [a + b for a, b in zip(self.sums, sums, strict=True)] if self.sums else sums
        self.pixels += targets.shape[2]

    def correlations(self) -> Tensor:
        """Pearson's r of each copy with each ghost, [m, K, t]; NaN where one is constant."""
        copies, copy_squares, products, ghosts, ghost_squares = (
            total.cpu() / self.pixels for total in self.sums
        )
        covariance = products - copies[:, :, None] * ghosts[:, None, :]
        variances = (
            variance_of(copies, copy_squares)[:, :, None]
            * variance_of(ghosts, ghost_squares)[:, None, :]
        )
        return (covariance / variances.sqrt()).clamp(-1, 1)


def _by_intrinsic(ghosts: Tensor, maps: GhostMaps) -> Tensor:
    """Ghosts [N, up to m * r, H, W] as [m, r, pixels]; zeros for the tail that a module cuts."""
    count = maps.intrinsic.shape[1]
    cut = count * maps.each - ghosts.shape[1]
    return pixels_of(pad(ghosts, (0, 0, 0, 0, 0, cut))).view(count, maps.each, -1)


def shifted_copies(maps: Tensor, sigma: float) -> Tensor:
    """Maps [N, C, H, W] blurred and moved by each of SHIFTS: [C, shifts, N * H * W]."""
    kernel = gaussian_kernel(sigma).to(maps)
    count, channels, height, width = maps.shape
    margin = MAX_SHIFT + len(kernel) // 2
    padded = pad(maps, [margin] * 4).flatten(0, 1)[:, None]  # [N * C, 1, ...]
    blurred = conv2d(conv2d(padded, kernel[None, None, :, None]), kernel[None, None, None, :])
    blurred = blurred.view(count, channels, *blurred.shape[2:])  # MAX_SHIFT more on each side
    moved = []
    for down, right in SHIFTS:  # pixel (y, x) shows what was at (y - down, x - right)
        top, left = MAX_SHIFT - down, MAX_SHIFT - right
        moved.append(pixels_of(blurred[:, :, top : top + height, left : left + width]))
    return torch.stack(moved, dim=1)


def gaussian_kernel(sigma: float) -> Tensor:
    """Weights [2 * ceil(3 * sigma) + 1] of a Gaussian sampled at whole pixels, of sum 1."""
    radius = ceil(3 * sigma)
    if radius == 0:
        return torch.ones(1, dtype=torch.float64)
    pixels = torch.arange(-radius, radius + 1, dtype=torch.float64)
    weights = torch.exp(-0.5 * (pixels / sigma) ** 2)
    return weights / weights.sum()


def pixels_of(maps: Tensor) -> Tensor:
    """All pixels of each channel, [N, C, H, W] -> [C, N * H * W]."""
    return maps.transpose(0, 1).flatten(1)


def variance_of(mean: Tensor, mean_square: Tensor) -> Tensor:
    """Variance from float64 means of values and of squares; NaN for what never varies."""
    variance = mean_square - mean.square()
    return torch.where(variance > ROUNDING * mean_square, variance, nan)
