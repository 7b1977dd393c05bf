"""GhostNet: a stem, 16 Ghost bottlenecks and a classifier.

"GhostNet: More Features from Cheap Operations", Han et al., CVPR 2020, section 3.2 and Table 1,
https://arxiv.org/abs/1911.11907. All Ghost modules have ratio 2, a 1x1 primary convolution and
3x3 cheap operations. With 1000 classes, for 224x224 images:

    width_mult        0.5          1.0          1.1          1.3
    params      2,587,292    5,182,508    5,855,650    7,358,820
    macs       42,328,152  141,150,512  166,986,864  227,003,256
"""

from collections import OrderedDict
from collections.abc import Callable, Sequence
from functools import partial
from itertools import pairwise
from typing import NamedTuple

from torch import Tensor, nn
from torchvision.ops import Conv2dNormActivation, SqueezeExcitation

from ghostexp.layers.ghost import GhostModule
from ghostexp.models.init import init_weights
from ghostexp.models.weights import with_weights

Layer = Callable[..., nn.Module]

ConvNorm = partial(Conv2dNormActivation, activation_layer=None)
GhostNorm = partial(GhostModule, norm_layer=nn.BatchNorm2d)


def make_divisible(channels: float, divisor: int = 4) -> int:
    """The nearest positive multiple of `divisor`; the next if that is more than a tenth less."""
    nearest = max(divisor, int(channels + divisor / 2) // divisor * divisor)
    return nearest if nearest >= 0.9 * channels else nearest + divisor


class BlockRow(NamedTuple):
    """One row of Table 1: all that a bottleneck has to know, except its input channels."""

    kernel_size: int  # of the depthwise convolutions, in the stride and in the shortcut
    mid_channels: int
    out_channels: int
    squeeze: bool
    stride: int

    def scaled(self, width_mult: float) -> "BlockRow":
        return self._replace(
            mid_channels=make_divisible(self.mid_channels * width_mult),
            out_channels=make_divisible(self.out_channels * width_mult),
        )


BLOCKS = [  # Table 1; the kernels are not printed there but are the authors'
    # kernel, #exp, #out, SE, stride         map of a 224x224 image
    BlockRow(3, 16, 16, False, 1),  # 112
    BlockRow(3, 48, 24, False, 2),
    BlockRow(3, 72, 24, False, 1),  # 56, C2
    BlockRow(5, 72, 40, True, 2),
    BlockRow(5, 120, 40, True, 1),  # 28, C3
    BlockRow(3, 240, 80, False, 2),
    BlockRow(3, 200, 80, False, 1),
    BlockRow(3, 184, 80, False, 1),
    BlockRow(3, 184, 80, False, 1),
    BlockRow(3, 480, 112, True, 1),
    BlockRow(3, 672, 112, True, 1),  # 14, C4
    BlockRow(5, 672, 160, True, 2),
    BlockRow(5, 960, 160, False, 1),
    BlockRow(5, 960, 160, True, 1),
    BlockRow(5, 960, 160, False, 1),
    BlockRow(5, 960, 160, True, 1),  # 7, C5
]
STEM_CHANNELS = 16
LAST_CHANNELS = 960
HEAD_CHANNELS = 1280  # not scaled by the width
TAPS = {"C2": 2, "C3": 4, "C4": 10, "C5": 15}  # last block before each stride, and the last of all


class GhostBottleneck(nn.Module):
    """Ghost module up, strided depthwise convolution, SE, Ghost module down; figure 3.

    [N, c, H, W] -> [N, n, H / stride, W / stride]. `ghost_layer` makes the Ghost modules, and
    `conv_layer` the depthwise convolution with its batch norm. `attention_layer(c, mid)` makes a
    layer that reads the input of the block and gives a gate for the maps of the first Ghost module.
    """

    def __init__(
        self,
        in_channels: int,
        row: BlockRow,
        *,
        ghost_layer: Layer = GhostNorm,
        conv_layer: Layer = ConvNorm,
        attention_layer: Layer | None = None,
    ) -> None:
        super().__init__()
        mid, out = row.mid_channels, row.out_channels
        self.ghost1 = ghost_layer(in_channels, mid, activation_layer=nn.ReLU)
        self.attention = attention_layer(in_channels, mid) if attention_layer else None
        self.depthwise = nn.Identity()
        if row.stride > 1:
            self.depthwise = conv_layer(mid, mid, row.kernel_size, row.stride, groups=mid)
        self.se = nn.Identity()
        if row.squeeze:
            squeezed = make_divisible(mid / 4)
            self.se = SqueezeExcitation(mid, squeezed, scale_activation=nn.Hardsigmoid)
        self.ghost2 = ghost_layer(mid, out, activation_layer=None)
        self.shortcut = nn.Identity()
        if row.stride > 1 or in_channels != out:
            self.shortcut = nn.Sequential(
                ConvNorm(in_channels, in_channels, row.kernel_size, row.stride, groups=in_channels),
                ConvNorm(in_channels, out, 1),
            )

    def forward(self, inputs: Tensor) -> Tensor:
        maps = self.ghost1(inputs)  # [N, mid, H, W]
        if self.attention is not None:
            maps = maps * self.attention(inputs)
        maps = self.se(self.depthwise(maps))  # [N, mid, H / stride, W / stride]
        return self.ghost2(maps) + self.shortcut(inputs)


class GhostNetTrunk(nn.Module):
    """Stem and bottlenecks: [N, c, H, W] -> maps C2 to C5, at strides 4, 8, 16 and 32.

    `feature_channels` holds the channels of these maps.
    """

    def __init__(
        self, stem: nn.Module, blocks: nn.Sequential, feature_channels: dict[str, int]
    ) -> None:
        super().__init__()
        self.stem, self.blocks = stem, blocks
        self.feature_channels = feature_channels

    def forward(self, images: Tensor) -> OrderedDict[str, Tensor]:
        maps = self.stem(images)
        taps = {index: name for name, index in TAPS.items()}
        features = OrderedDict()
        for index, block in enumerate(self.blocks):
            maps = block(maps)
            if index in taps:
                features[taps[index]] = maps
        return features

    def stages(self) -> list[nn.Sequential]:
        """Layers by the stride of their maps: first stride 2, then those that end in C2 to C5."""
        ends = [1, *(index + 1 for index in TAPS.values())]
        first = nn.Sequential(self.stem, self.blocks[0])
        return [first, *(self.blocks[start:end] for start, end in pairwise(ends))]


class GhostNet(nn.Module):
    """Stem, bottlenecks, 1x1 convolutions around the mean, classifier; -> [N, classes].

    `blocks` holds, for each row of `table`, what makes the bottleneck: it is called with the number
    of input channels and the row. Another table has the strides and resolutions of Table 1.

    The total stride is 32. `small_input` makes it 8, for 32x32 images: the stem and the second
    block (rows 1 and 3 of Table 1) get stride 1, and that block has no depthwise convolution. C2 to
    C5 are then 32, 16, 8 and 4 pixels wide, at strides 1, 2, 4 and 8.
    """

    def __init__(
        self,
        num_classes: int = 1000,
        in_channels: int = 3,
        *,
        width_mult: float = 1.0,
        dropout: float = 0.2,
        small_input: bool = False,
        blocks: Sequence[Layer] = (GhostBottleneck,) * len(BLOCKS),
        table: Sequence[BlockRow] = BLOCKS,
    ) -> None:
        if not width_mult > 0:
            raise ValueError(f"width_mult must be above 0, not {width_mult}")
        super().__init__()
        rows = [row.scaled(width_mult) for row in table]
        if small_input:
            rows[1] = rows[1]._replace(stride=1)
        width = make_divisible(STEM_CHANNELS * width_mult)
        self.stem = Conv2dNormActivation(in_channels, width, 3, 1 if small_input else 2)
        self.blocks = nn.Sequential()
        for block, row in zip(blocks, rows, strict=True):
            self.blocks.append(block(width, row))
            width = row.out_channels
        last = make_divisible(LAST_CHANNELS * width_mult)
        self.last_conv = Conv2dNormActivation(width, last, 1)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.head = nn.Sequential(nn.Conv2d(last, HEAD_CHANNELS, 1), nn.ReLU(inplace=True))
        self.dropout = nn.Dropout(dropout)
        self.classifier = nn.Linear(HEAD_CHANNELS, num_classes)
        self.feature_channels = {name: rows[index].out_channels for name, index in TAPS.items()}
        init_weights(self)

    def trunk(self) -> GhostNetTrunk:
        """Stem and bottlenecks of this network, without the classifier: a detector's backbone."""
        return GhostNetTrunk(self.stem, self.blocks, self.feature_channels)

    def forward(self, images: Tensor) -> Tensor:
        maps = self.last_conv(self.blocks(self.stem(images)))  # [N, 960 x width, H / 32, W / 32]
        embeddings = self.head(self.pool(maps)).flatten(1)  # [N, 1280]
        return self.classifier(self.dropout(embeddings))


def build(
    blocks: Sequence[Layer],
    num_classes: int,
    in_channels: int,
    *,
    width_mult: float,
    dropout: float,
    small_input: bool,
    weights: str | None,
    table: Sequence[BlockRow] = BLOCKS,
) -> GhostNet:
    """The network of these bottlenecks; all versions of GhostNet and RepGhostNet are made by it.

    `small_input`, `blocks` and `table` are arguments of `GhostNet`. `weights` names trained weights
    to start from, as in `load_weights`.
    """
    net = GhostNet(
        num_classes,
        in_channels,
        width_mult=width_mult,
        dropout=dropout,
        small_input=small_input,
        blocks=blocks,
        table=table,
    )
    return with_weights(net, weights)


def ghostnet(
    num_classes: int = 1000,
    in_channels: int = 3,
    *,
    width_mult: float = 1.0,
    dropout: float = 0.2,
    small_input: bool = False,
    weights: str | None = None,
) -> GhostNet:
    """GhostNet, the paper's first version; the arguments as in `build`."""
    return build(
        [GhostBottleneck] * len(BLOCKS),
        num_classes,
        in_channels,
        width_mult=width_mult,
        dropout=dropout,
        small_input=small_input,
        weights=weights,
    )
