"""Are ghosts shifted, smoothed copies of their intrinsic maps? Numbers over a set of images.

For a ghost map g and its intrinsic map x, over all pixels of all images:

    correlation   Pearson's r of x and g
    explained     the largest R^2 of a least-squares fit g = a * copy(x) + b over all copies: x
                  through a Gaussian of standard deviation SIGMAS, moved by a whole number of
                  pixels up to MAX_SHIFT down or up and right or left, with zeros around the image
                  as in the cheap operation
    inverted      whether the a of that fit is negative: bright becomes dark
    one_sign      |sum of weights| / sum of |weights| of the cheap kernel: 1 if it smooths, all
                  weights of one sign, 0 if it takes differences

Copy, a and b are one for all images, as the cheap kernel is. A map that never varies (a dead
channel) has no such numbers: NaN. Neighbouring pixels are alike, so that any small kernel explains
something; the control says how much: ghosts of the same intrinsic maps by kernels of normally
distributed random weights.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import ceil, isnan, nan
from statistics import fmean

import torch
from torch import Tensor, nn
from torch.nn.functional import conv2d, pad

from ghostexp.analysis.features import GhostMaps, ghost_maps

SIGMAS = (0.0, 0.5, 1.0, 1.5)  # pixels
MAX_SHIFT = 2  # pixels
STEPS = range(-MAX_SHIFT, MAX_SHIFT + 1)
SHIFTS = [(down, right) for down in STEPS for right in STEPS]
UNMOVED = SHIFTS.index((0, 0))  # with the first sigma: the intrinsic map itself
GOOD_COPY = 0.9  # explained
ROUNDING = 1e-10  # a variance below this share of the mean square is none
ELEMENTS_AT_ONCE = 2**22
CONTROL_SEED = 0


@dataclass(frozen=True)
class GhostRow:
    """What one ghost is of its intrinsic map; its best copy is moved by pixels down and right."""

    layer: str
    ghost: int
    intrinsic: int
    correlation: float
    explained: float
    inverted: bool
    down: int
    right: int
    sigma: float
    one_sign: float
    kernel: str  # weights, row by row


@dataclass(frozen=True)
class LayerSummary:
    """Means over the ghosts of a layer that vary; the last three are shares."""

    layer: str
    ghosts: int
    dead: int
    abs_correlation: float
    explained: float
    one_sign: float
    sigma: float
    good_copies: float  # explained >= GOOD_COPY
    moved: float
    inverted: float


def ghost_statistics(
    net: nn.Module, layers: Sequence[str], batches: Iterable[Tensor]
) -> tuple[list[GhostRow], list[GhostRow]]:
    """Rows of all ghosts of the named Ghost modules over all batches of images, and the control."""
    fits: dict[str, CopyFit] = {}
    for images in batches:
        for layer, maps in ghost_maps(net, layers, images).items():
            fits.setdefault(layer, CopyFit(maps)).update(maps)
    rows = [row for layer, fit in fits.items() for row in describe_ghosts(layer, fit)]
    control = [row for layer, fit in fits.items() for row in describe_ghosts(layer, fit, True)]
    return rows, control


def describe_ghosts(layer: str, fit: "CopyFit", control: bool = False) -> list[GhostRow]:
    """A row for each ghost of a layer, or of its control: correlation, best copy, kernel."""
    correlations = fit.correlations()  # [m, copies, ghosts of each and as many of the control]
    rows = []
    for ghost, kernel in enumerate(fit.random_kernels if control else fit.kernels):
        intrinsic, which = divmod(ghost, fit.each)
        candidates = correlations[intrinsic, :, which + fit.each * control]
        best = int(candidates.square().nan_to_num(-1).argmax())
        down, right = SHIFTS[best % len(SHIFTS)]
        rows.append(
            GhostRow(
                layer=layer,
                ghost=ghost,
                intrinsic=intrinsic,
                correlation=float(candidates[UNMOVED]),
                explained=float(candidates[best] ** 2),
                inverted=bool(candidates[best] < 0),
                down=down,
                right=right,
                sigma=SIGMAS[best // len(SHIFTS)],
                one_sign=float(kernel.sum().abs() / kernel.abs().sum()),
                kernel=" ".join(f"{weight:.4g}" for weight in kernel.flatten().tolist()),
            )
        )
    return rows


def summarise(label: str, rows: list[GhostRow]) -> LayerSummary:
    """Means over the ghosts of `rows`."""
    alive = [row for row in rows if not isnan(row.explained)]

    def mean(values: Iterable[float]) -> float:
        return fmean(values) if alive else nan

    return LayerSummary(
        layer=label,
        ghosts=len(rows),
        dead=len(rows) - len(alive),
        abs_correlation=mean(abs(row.correlation) for row in alive),
        explained=mean(row.explained for row in alive),
        one_sign=mean(row.one_sign for row in alive),
        sigma=mean(row.sigma for row in alive),
        good_copies=mean(row.explained >= GOOD_COPY for row in alive),
        moved=mean((row.down, row.right) != (0, 0) for row in alive),
        inverted=mean(row.inverted for row in alive),
    )


class CopyFit:
    """Least-squares fits of all copies to all ghosts of one Ghost module, from sums over batches.

    With m intrinsic maps of r ghosts each and K copies, and as many control ghosts: sums and
    squares of copies [m, K], products of copies and ghosts [m, K, 2r], sums and squares of ghosts
    [m, 2r]. Taken in float32 over a few images, added up in float64.
    """

    def __init__(self, maps: GhostMaps) -> None:
        self.each = maps.each
        self.kernels = maps.kernels
        generator = torch.Generator().manual_seed(CONTROL_SEED)
        self.random_kernels = torch.randn(
            maps.intrinsic.shape[1] * maps.each, *maps.kernels.shape[1:], generator=generator
        )
        self.pixels = 0
        self.sums: list[Tensor] = []

    def update(self, maps: GhostMaps) -> None:
        """Add a batch."""
        at_once = max(1, ELEMENTS_AT_ONCE // (len(SHIFTS) * maps.intrinsic[0].numel()))
        for intrinsic, ghosts in zip(
            maps.intrinsic.split(at_once), maps.ghosts.split(at_once), strict=True
        ):
            self._add(intrinsic, self._targets(intrinsic, ghosts))

    def _targets(self, intrinsic: Tensor, ghosts: Tensor) -> Tensor:
        """Ghosts and control ghosts of each intrinsic map, [m, 2r, pixels]."""
        count = intrinsic.shape[1]
        cut = count * self.each - ghosts.shape[1]  # zeros for the tail that the module cuts
        whole = pad(ghosts, (0, 0, 0, 0, 0, cut))
        kernels = self.random_kernels[:, None].to(intrinsic.device)
        control = conv2d(intrinsic, kernels, padding="same", groups=count)
        both = [_pixels(maps).view(count, self.each, -1) for maps in (whole, control)]
        return torch.cat(both, dim=1)

    def _add(self, intrinsic: Tensor, targets: Tensor) -> None:
        parts = []
        for sigma in SIGMAS:
            copies = shifted_copies(intrinsic, sigma)  # [m, shifts, pixels]
            parts.append((copies.sum(2), copies.square().sum(2), copies @ targets.mT))
        sums = [torch.cat(part, dim=1) for part in zip(*parts, strict=True)]
        sums = [total.double() for total in (*sums, targets.sum(2), targets.square().sum(2))]
        self.sums = [a + b for a, b in zip(self.sums, sums, strict=True)] if self.sums else sums
        self.pixels += targets.shape[2]

    def correlations(self) -> Tensor:
        """Pearson's r of each copy with each ghost, [m, K, 2r]; NaN where one is constant."""
        copies, copy_squares, products, ghosts, ghost_squares = (
            total.cpu() / self.pixels for total in self.sums
        )
        covariance = products - copies[:, :, None] * ghosts[:, None, :]
        variances = (
            _variance(copies, copy_squares)[:, :, None]
            * _variance(ghosts, ghost_squares)[:, None, :]
        )
        return (covariance / variances.sqrt()).clamp(-1, 1)


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
        moved.append(_pixels(blurred[:, :, top : top + height, left : left + width]))
    return torch.stack(moved, dim=1)


def gaussian_kernel(sigma: float) -> Tensor:
    """Weights [2 * ceil(3 * sigma) + 1] of a Gaussian sampled at whole pixels, of sum 1."""
    radius = ceil(3 * sigma)
    if radius == 0:
        return torch.ones(1, dtype=torch.float64)
    pixels = torch.arange(-radius, radius + 1, dtype=torch.float64)
    weights = torch.exp(-0.5 * (pixels / sigma) ** 2)
    return weights / weights.sum()


def _pixels(maps: Tensor) -> Tensor:
    return maps.transpose(0, 1).flatten(1)  # [N, C, H, W] -> [C, N * H * W]


def _variance(mean: Tensor, mean_square: Tensor) -> Tensor:
    variance = mean_square - mean.square()
    return torch.where(variance > ROUNDING * mean_square, variance, nan)
