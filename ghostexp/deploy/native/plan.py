"""What the kernels compute: layers with folded batch norms, joined with what follows them.

A Ghost module ("GhostNet: More Features from Cheap Operations", Han et al., CVPR 2020, section 3.1,
https://arxiv.org/abs/1911.11907) is one layer. The cheap operation reads the intrinsic maps before
the batch norm. The batch norm scales and shifts them only when they are stored, so the values are
exact at the border of the image, too.
"""

from dataclasses import dataclass, replace

from torch import Tensor


@dataclass(frozen=True, eq=False)
class Maps:
    """A value in memory, [channels, height, width] for each image."""

    channels: int
    height: int
    width: int


@dataclass(frozen=True, eq=False)
class View:
    """Every `row_step`-th row and every `column_step`-th column of maps, with channels of zeros.

    There are `channels` in all. The first `first` of them are zeros, then come the maps' channels,
    and the rest are zeros. With steps of 0 the first pixel stands for all.
    """

    maps: Maps
    channels: int
    first: int = 0
    row_step: int = 1
    column_step: int = 1


@dataclass(frozen=True, eq=False)
class Cheap:
    """Depthwise `weight` [ghosts, d, d] on the unscaled maps of `conv`.

    Ghost j reads map j // `each`.
    """

    conv: "Conv"
    weight: Tensor
    bias: Tensor  # [ghosts]
    each: int


@dataclass(frozen=True, eq=False)
class Conv:
    """A convolution with zero padding of k // 2; with `cheap` it is a Ghost module.

    The intrinsic maps of a Ghost module are stored as maps * `scale` + `shift`, and its ghosts
    follow. After that `residual` is added, and then `relu` is applied. All tensors are float64.
    """

    inputs: Maps
    outputs: Maps
    weight: Tensor  # [m, c, k, k]
    bias: Tensor  # [m]
    stride: int = 1
    cheap: Cheap | None = None
    scale: Tensor | None = None  # [m], beside `cheap`
    shift: Tensor | None = None
    residual: View | None = None
    relu: bool = False


@dataclass(frozen=True, eq=False)
class MaxPool:
    """The largest of `window` x `window` values every `stride` pixels."""

    inputs: Maps
    outputs: Maps
    window: int
    stride: int


@dataclass(frozen=True, eq=False)
class MeanPool:
    """The mean of each channel."""

    inputs: Maps
    outputs: Maps  # of one pixel


Step = Conv | MaxPool | MeanPool


@dataclass(frozen=True)
class Part:
    """Maps that are the channels from `first` on of other maps, in the same memory."""

    whole: Maps
    first: int


@dataclass(frozen=True)
class Plan:
    """Steps in the order of computation, from `images` to `logits`.

    `parts` holds the maps that lie in others: slices of them, and what is concatenated to them.
    """

    steps: list[Step]
    images: Maps
    logits: Maps
    parts: dict[Maps, Part]

    def place(self, maps: Maps) -> Part:
        """The maps that own the memory, and the channel at which `maps` begin in them."""
        first = 0
        while maps in self.parts:
            first += self.parts[maps].first
            maps = self.parts[maps].whole
        return Part(maps, first)


def is_open(value: object) -> bool:
    """Whether a linear operator may still follow in the same step."""
    return isinstance(value, Conv) and value.residual is None and not value.relu


def scaled(part: Conv | Cheap, scale: Tensor, shift: Tensor) -> Conv | Cheap:
    """`part` with its results times `scale` plus `shift`, which have one value per channel."""
    by_filter = scale.reshape(-1, *[1] * (part.weight.dim() - 1))
    return replace(part, weight=part.weight * by_filter, bias=part.bias * scale + shift)
