"""What the kernels compute: layers with batch norms folded and neighbours joined.

A Ghost module ("GhostNet: More Features from Cheap Operations", Han et al., CVPR 2020, section 3.1,
https://arxiv.org/abs/1911.11907) is one layer. Its primary half is scaled and shifted where it is
stored, after the cheap operation has read it: exact at the image's border, too.
"""

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True, eq=False)
class Maps:
    """A value in memory, [channels, height, width] for each image."""

    channels: int
    height: int
    width: int


@dataclass(frozen=True, eq=False)
class View:
    """Every `row_step`-th row and `column_step`-th column of maps, below `first` channels of zeros.

    It has `channels` in all.
    """

    maps: Maps
    channels: int
    first: int = 0
    row_step: int = 1
    column_step: int = 1


@dataclass(frozen=True, eq=False)
class Cheap:
    """Depthwise `weight`, [ghosts, d, d], on the raw maps of `conv`; ghost j reads j // `each`."""

    conv: "Conv"
    weight: Tensor
    bias: Tensor  # [ghosts]
    each: int


@dataclass(frozen=True, eq=False)
class Conv:
    """Convolution with zero padding of k // 2, or Ghost module where `cheap` is there.

    A Ghost module's primary half is stored as maps * `scale` + `shift`, its ghosts follow. Then
    `residual` is added, then comes `relu`. All tensors are float64.
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
class Plan:
    """Steps in the order of computation, from `images` to `logits`."""

    steps: list[Step]
    images: Maps
    logits: Maps
