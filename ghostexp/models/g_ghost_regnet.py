"""RegNetX, and G-Ghost RegNetX, whose long stages have ghosts.

RegNetX: "Designing Network Design Spaces", Radosavovic et al., CVPR 2020,
https://arxiv.org/abs/2003.13678. G-Ghost: "GhostNets on Heterogeneous Devices via Cheap
Operations", Han et al., IJCV 2022, https://arxiv.org/abs/2201.03297. With 1000 classes, for 224x224
images, the G-Ghost networks of ratio 2 have:

    size                 0.2            0.4            0.6            0.8            1.6
    params         1,825,440      2,884,456      4,029,776      5,248,328      7,109,660
    macs         130,922,824    221,245,824    389,787,912    528,571,968  1,021,379,556

    size                 3.2            4.0            8.0           16.0
    params        10,511,000     15,726,268     24,586,928     32,381,704
    macs       1,801,746,240  2,228,368,516  4,149,668,216  8,997,384,192
"""

from typing import NamedTuple

from torch import Tensor, nn
from torchvision.ops import Conv2dNormActivation

from ghostexp.layers.g_ghost import GhostStage
from ghostexp.models.init import init_weights
from ghostexp.models.weights import with_weights

STEM_CHANNELS = 32
GHOST_GROUPS = 0.75  # group width of intrinsic blocks, as a share of the others'; the authors'


class Row(NamedTuple):
    """One RegNetX: blocks and channels of its four stages, channels of a group."""

    depths: tuple[int, int, int, int]
    widths: tuple[int, int, int, int]
    group_width: int


SIZES = {  # RegNetX of the RegNet paper; the key is its cost there, in 1e9 macs
    # depths, widths, group width
    0.2: Row((1, 1, 4, 7), (24, 56, 152, 368), 8),
    0.4: Row((1, 2, 7, 12), (32, 64, 160, 384), 16),
    0.6: Row((1, 3, 5, 7), (48, 96, 240, 528), 24),
    0.8: Row((1, 3, 7, 5), (64, 128, 288, 672), 16),
    1.6: Row((2, 4, 10, 2), (72, 168, 408, 912), 24),
    3.2: Row((2, 6, 15, 2), (96, 192, 432, 1008), 48),
    4.0: Row((2, 5, 14, 2), (80, 240, 560, 1360), 40),
    8.0: Row((2, 5, 15, 1), (80, 240, 720, 1920), 120),
    16.0: Row((2, 6, 13, 1), (256, 512, 896, 2048), 128),
}


class RegNetBlock(nn.Module):
    """1x1, grouped 3x3 and 1x1 convolutions and a shortcut, [N, c, H, W] -> [N, n, H', W']."""

    def __init__(
        self, in_channels: int, out_channels: int, stride: int, *, group_width: int
    ) -> None:
        super().__init__()
        self.shortcut = nn.Identity()
        if stride > 1 or in_channels != out_channels:
            self.shortcut = Conv2dNormActivation(
                in_channels, out_channels, 1, stride, activation_layer=None
            )
        groups = out_channels // min(group_width, out_channels)
        self.body = nn.Sequential(
            Conv2dNormActivation(in_channels, out_channels, 1),
            Conv2dNormActivation(out_channels, out_channels, 3, stride, groups=groups),
            Conv2dNormActivation(out_channels, out_channels, 1, activation_layer=None),
        )
        self.relu = nn.ReLU(inplace=True)

    def forward(self, inputs: Tensor) -> Tensor:
        return self.relu(self.body(inputs) + self.shortcut(inputs))


class RegNetX(nn.Module):
    """Stem, four stages of stride 2, mean, classifier; [N, c, H, W] -> [N, classes].

    The stages of more than two blocks, except the first, are G-Ghost stages of this `ratio`. Ratio
    1 is the dense RegNetX.
    """

    def __init__(
        self,
        row: Row,
        num_classes: int = 1000,
        in_channels: int = 3,
        *,
        ratio: int = 1,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.stem = Conv2dNormActivation(in_channels, STEM_CHANNELS, 3, 2)
        self.stages = nn.Sequential()
        width = STEM_CHANNELS
        for index, (depth, channels) in enumerate(zip(row.depths, row.widths, strict=True)):
            has_ghosts = ratio > 1 and index > 0 and depth > 2
            stage = _ghost_stage if has_ghosts else _dense_stage
            self.stages.append(stage(width, channels, depth, row.group_width, ratio))
            width = channels
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.dropout = nn.Dropout(dropout)
        self.classifier = nn.Linear(width, num_classes)
        init_weights(self)

    def forward(self, images: Tensor) -> Tensor:
        maps = self.stages(self.stem(images))  # [N, n, H / 32, W / 32]
        return self.classifier(self.dropout(self.pool(maps).flatten(1)))


def _dense_stage(
    in_channels: int, channels: int, depth: int, group_width: int, ratio: int
) -> nn.Module:
    first = RegNetBlock(in_channels, channels, 2, group_width=group_width)
    others = (RegNetBlock(channels, channels, 1, group_width=group_width) for _ in range(depth - 1))
    return nn.Sequential(first, *others)


def _ghost_stage(
    in_channels: int, channels: int, depth: int, group_width: int, ratio: int
) -> nn.Module:
    narrow = int(GHOST_GROUPS * group_width)
    intrinsic = int(channels / ratio / narrow) * narrow
    if intrinsic == 0:
        raise ValueError(
            f"ratio={ratio} leaves less than one group of {narrow} intrinsic channels of {channels}"
        )
    return GhostStage(
        RegNetBlock(in_channels, channels, 2, group_width=group_width),
        [RegNetBlock(intrinsic, intrinsic, 1, group_width=narrow) for _ in range(depth - 2)],
        RegNetBlock(channels, channels, 1, group_width=group_width),
        channels=channels,
        intrinsic=intrinsic,
    )


def _row(size: float) -> Row:
    if size not in SIZES:
        *others, largest = SIZES
        raise ValueError(f"size is {', '.join(map(str, others))} or {largest}, not {size}")
    return SIZES[size]


def regnet_x(
    num_classes: int = 1000,
    in_channels: int = 3,
    *,
    size: float = 3.2,
    dropout: float = 0.0,
    weights: str | None = None,
) -> RegNetX:
    """RegNetX of a `size` of SIZES; `weights` names trained weights, as in `load_weights`."""
    net = RegNetX(_row(size), num_classes, in_channels, dropout=dropout)
    return with_weights(net, weights)


def g_ghost_regnet_x(
    num_classes: int = 1000,
    in_channels: int = 3,
    *,
    size: float = 3.2,
    ratio: int = 2,
    dropout: float = 0.2,
    weights: str | None = None,
) -> RegNetX:
    """G-Ghost RegNetX; `ratio` is all maps over intrinsic maps, and 1 is the dense `regnet_x`.

    The other arguments are explained at `regnet_x`.
    """
    if not isinstance(ratio, int) or ratio < 1:
        raise ValueError(f"ratio must be a whole number of at least 1, not {ratio}")
    net = RegNetX(_row(size), num_classes, in_channels, ratio=ratio, dropout=dropout)
    return with_weights(net, weights)
