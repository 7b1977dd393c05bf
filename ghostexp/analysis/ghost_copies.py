"""Are ghosts shifted, smoothed copies of their intrinsic maps? Numbers over a set of images.

For a ghost map g and its intrinsic map x, over all pixels of all images:

    correlation   Pearson's r of x and g
    explained     the largest R^2 of a least-squares fit g = a * copy(x) + b over all copies. A copy
                  is x blurred by a Gaussian whose standard deviation is one of SIGMAS, and moved by
                  up to MAX_SHIFT whole pixels down or up and right or left. Around the image are
                  zeros, as in the cheap operation
    inverted      whether the a of that fit is negative: bright becomes dark
    one_sign      |sum of weights| / sum of |weights| of the cheap kernel: 1 if all weights have one
                  sign, so that it smooths, and 0 if it takes differences

The copy, a and b are the same for all images, as the cheap kernel is. A map that never varies (a
dead channel) has no such numbers: they are NaN.

Neighbouring pixels are alike, so that any small kernel explains something. The control says how
much: it makes ghosts of the same intrinsic maps by kernels of normally distributed random weights.
An activation changes what a copy can explain. So each control map is brought to the mean and the
variance of the ghost in its place before the activation, and then passes through the same one.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import isnan, nan
from statistics import fmean

import torch
from torch import Tensor, nn
from torch.nn.functional import conv2d

from ghostexp.analysis.copy_fit import SHIFTS, SIGMAS, UNMOVED, CopyFit, pixels_of, variance_of
from ghostexp.analysis.features import GhostMaps, ghost_maps

GOOD_COPY = 0.9  # explained
CONTROL_SEED = 0


@dataclass(frozen=True)
class GhostRow:
    """How one ghost depends on its intrinsic map; the best copy is moved by `down` and `right`."""

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
    """Means over those ghosts of a layer that vary; the last three fields are shares of them."""

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
    """Rows of all ghosts of the named Ghost modules over all batches of images, and the control.

    `batches` is iterated twice: the control needs mean and variance of the ghosts first.
    """
    controls: dict[str, Control] = {}
    for images in batches:
        for layer, maps in ghost_maps(net, layers, images).items():
            controls.setdefault(layer, Control(maps)).observe(maps)
    fits: dict[str, CopyFit] = {}
    kernels: dict[str, Tensor] = {}
    for images in batches:
        for layer, maps in ghost_maps(net, layers, images).items():
            fit = fits.setdefault(layer, CopyFit())
            fit.update(maps, [maps.ghosts, controls[layer].ghosts(maps)])
            kernels[layer] = maps.kernels
    rows: list[GhostRow] = []
    control: list[GhostRow] = []
    for layer, fit in fits.items():
        ghosts, random = fit.correlations().chunk(2, dim=2)
        rows += describe_ghosts(layer, kernels[layer], ghosts)
        control += describe_ghosts(layer, controls[layer].kernels[: len(kernels[layer])], random)
    return rows, control


def describe_ghosts(layer: str, kernels: Tensor, correlations: Tensor) -> list[GhostRow]:
    """A row for each cheap kernel: correlation of its ghost, best copy, the kernel itself.

    `kernels` are [g, d, d], `correlations` [m, K, r] of r ghosts of each of m intrinsic maps.
    """
    rows = []
    for ghost, kernel in enumerate(kernels):
        intrinsic, which = divmod(ghost, correlations.shape[2])
        candidates = correlations[intrinsic, :, which]
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


class Control:
    """Ghosts of one Ghost module by random kernels [m * r, d, d], in the place of its own ghosts.

    `observe` every batch first; then `ghosts` makes those of a batch.
    """

    def __init__(self, maps: GhostMaps) -> None:
        generator = torch.Generator().manual_seed(CONTROL_SEED)
        count = maps.intrinsic.shape[1] * maps.each
        self.kernels = torch.randn(count, *maps.kernels.shape[1:], generator=generator)
        self.values = 0
        self.sums = torch.zeros(4, count, dtype=torch.float64)

    def observe(self, maps: GhostMaps) -> None:
        """Add up the ghosts and the control's maps of a batch, both before the activation."""
        sums = []
        for each in (maps.before, self._convolved(maps)):
            pixels = pixels_of(each.double())
            sums += [pixels.sum(1), pixels.square().sum(1)]
        self.sums += torch.stack(sums).cpu()
        self.values += maps.before.shape[0] * maps.before[0, 0].numel()

    def ghosts(self, maps: GhostMaps) -> Tensor:
        """The control's ghosts of a batch, [N, m * r, H, W]."""
        mean, square, own_mean, own_square = self.sums / self.values
        variance, own_variance = variance_of(mean, square), variance_of(own_mean, own_square)
        # a map that never varies has no variance, and its control does not vary either
        scale = maps.signs.cpu() * (variance / own_variance).sqrt().nan_to_num(0)
        shift = mean - scale * own_mean
        scale, shift = (each[:, None, None].to(maps.before) for each in (scale, shift))
        return maps.activation(self._convolved(maps) * scale + shift)

    def _convolved(self, maps: GhostMaps) -> Tensor:
        kernels = self.kernels[:, None].to(maps.intrinsic)
        groups = maps.intrinsic.shape[1]
        return conv2d(maps.intrinsic, kernels, padding="same", groups=groups)
