"""Ghost-EfficientNetV2: EfficientNetV2-S with Ghost modules for its dense convolutions and ECA.

Blocks and widths come from "EfficientNetV2: Smaller Models and Faster Training", Tan and Le, ICML
2021, Table 4, https://arxiv.org/abs/2104.00298. The Ghost modules come from Han et al., CVPR 2020.
No paper describes the combination. `LITERAL` is the form that an unpublished report draws;
docs/results/index.md names the report. With one input channel, a cosine head and 6 classes it has

    width_mult, depth_mult       0.5, 0.5    0.75, 1.0    1.0, 1.0
    params                       1,175,923   4,900,070   8,493,666
    batch norms folded           1,156,191   4,843,292   8,417,962
    factors at residuals only    1,175,595   4,899,578   8,493,010
    the default Recipe()         1,348,907   5,154,426   8,829,394
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from math import ceil
from typing import NamedTuple

from torch import Tensor, nn
from torchvision.ops import Conv2dNormActivation, StochasticDepth

from ghostexp.layers.cosine import make_head
from ghostexp.layers.eca import ECA
from ghostexp.layers.ghost import GhostModule
from ghostexp.layers.layer_scale import LayerScale2d
from ghostexp.models.init import init_weights
from ghostexp.models.weights import with_weights

Layer = Callable[..., nn.Module]

_conv = partial(Conv2dNormActivation, activation_layer=nn.SiLU)


@dataclass(frozen=True)
class Recipe:
    """Choices beside the blocks that decide whether the network trains, one per field.

    `layer_scale` is the value at which the factors of LayerScale start; None leaves them out.
    `layer_scale_everywhere` also puts factors behind blocks that have no residual. A residual
    branch is left out with the probability `stochastic_depth_prob`. With `depth_prob_rises` the
    probability grows linearly with depth, from 0 in the first block (Huang et al. 2016).
    `head_channels` is the width of a 1x1 convolution before the pooling, 1280 in EfficientNetV2;
    None leaves it out.
    """

    layer_scale: float | None = 0.1
    layer_scale_everywhere: bool = False
    stochastic_depth_prob: float = 0.1
    depth_prob_rises: bool = True
    norm_momentum: float = 0.1  # share of the newest batch in the running statistics
    projection_activation: bool = False
    attention: bool = True
    head_channels: int | None = 1280

    @property
    def norm_layer(self) -> Layer:
        return partial(nn.BatchNorm2d, momentum=self.norm_momentum)

    def depth_prob(self, index: int, num_blocks: int) -> float:
        """Probability to leave out the residual branch of block `index` of all `num_blocks`."""
        share = index / num_blocks if self.depth_prob_rises else 1.0
        return self.stochastic_depth_prob * share


LITERAL = Recipe(
    layer_scale=1e-5, layer_scale_everywhere=True, depth_prob_rises=False, head_channels=None
)


class StageRow(NamedTuple):
    """One row of Table 4: what the blocks of a stage are."""

    fused: bool  # one 3x3 convolution expands and filters
    expand_ratio: int
    out_channels: int
    num_blocks: int
    stride: int  # of the first block

    def scaled(self, width_mult: float, depth_mult: float) -> "StageRow":
        return self._replace(
            out_channels=int(self.out_channels * width_mult),
            num_blocks=ceil(self.num_blocks * depth_mult),
        )


STAGES = [  # Table 4, of EfficientNetV2-S
    # fused, expand, channels, blocks, stride    total stride
    StageRow(True, 1, 24, 2, 1),  # 2
    StageRow(True, 4, 48, 4, 2),  # 4
    StageRow(True, 4, 64, 4, 2),  # 8
    StageRow(False, 4, 128, 6, 2),
    StageRow(False, 6, 160, 9, 1),  # 16
    StageRow(False, 6, 256, 15, 2),  # 32
]
STEM_CHANNELS = 24


class GhostBlock(nn.Module):
    """`expansion`, ECA, Ghost module down; with `residual` the input is added to the result.

    [N, c, H, W] -> [N, n, H / stride, W / stride]. `expansion` makes `mid_channels` maps and has
    the stride.
    """

    def __init__(
        self,
        expansion: nn.Module,
        mid_channels: int,
        out_channels: int,
        *,
        residual: bool,
        stochastic_depth_prob: float,
        recipe: Recipe,
    ) -> None:
        super().__init__()
        self.expansion = expansion
        self.attention = ECA(mid_channels) if recipe.attention else nn.Identity()
        self.projection = GhostModule(
            mid_channels,
            out_channels,
            norm_layer=recipe.norm_layer,
            activation_layer=nn.SiLU if recipe.projection_activation else None,
        )
        self.layer_scale = nn.Identity()
        if recipe.layer_scale is not None and (residual or recipe.layer_scale_everywhere):
            self.layer_scale = LayerScale2d(out_channels, recipe.layer_scale)
        self.residual = residual
        self.stochastic_depth = StochasticDepth(stochastic_depth_prob, "row")

    def forward(self, inputs: Tensor) -> Tensor:
        maps = self.attention(self.expansion(inputs))  # [N, mid, H / stride, W / stride]
        maps = self.layer_scale(self.projection(maps))
        return inputs + self.stochastic_depth(maps) if self.residual else maps


class GhostEfficientNetV2(nn.Module):
    """Stem, stages of `rows`, mean, head; [N, C, H, W] -> logits or cosines [N, classes]."""

    def __init__(
        self,
        rows: list[StageRow],
        *,
        stem_channels: int,
        in_channels: int,
        num_classes: int,
        cosine_head: bool,
        dropout: float,
        recipe: Recipe,
    ) -> None:
        super().__init__()
        self.stem = _conv(in_channels, stem_channels, 3, 2, norm_layer=recipe.norm_layer)
        self.blocks = nn.Sequential()  # of stages
        width, built, total = stem_channels, 0, sum(row.num_blocks for row in rows)
        for row in rows:
            stage = nn.Sequential()
            for stride in [row.stride, *[1] * (row.num_blocks - 1)]:
                prob = recipe.depth_prob(built, total)
                stage.append(_block(width, row, stride, prob, recipe))
                width, built = row.out_channels, built + 1
            self.blocks.append(stage)
        self.last_conv = nn.Identity()
        if recipe.head_channels is not None:
            self.last_conv = _conv(width, recipe.head_channels, 1, norm_layer=recipe.norm_layer)
            width = recipe.head_channels
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.dropout = nn.Dropout(dropout)
        self.head = make_head(width, num_classes, cosine=cosine_head)
        init_weights(self)

    def embed(self, images: Tensor) -> Tensor:
        """Means of the last maps, [N, C, H, W] -> [N, D]."""
        return self.pool(self.last_conv(self.blocks(self.stem(images)))).flatten(1)

    def stages(self) -> list[nn.Module]:
        """Parts from input to output, the head last. Freezing counts them as blocks."""
        last = [] if isinstance(self.last_conv, nn.Identity) else [self.last_conv]
        return [self.stem, *self.blocks, *last, self.head]

    def forward(self, images: Tensor) -> Tensor:
        return self.head(self.dropout(self.embed(images)))


def _block(
    in_channels: int, row: StageRow, stride: int, stochastic_depth_prob: float, recipe: Recipe
) -> GhostBlock:
    """Block of a stage. It has a residual if input and output have the same shape."""
    mid = in_channels * row.expand_ratio
    conv = partial(_conv, norm_layer=recipe.norm_layer)
    ghost = partial(GhostModule, norm_layer=recipe.norm_layer, activation_layer=nn.SiLU)
    if not row.fused:
        expansion = nn.Sequential(ghost(in_channels, mid), conv(mid, mid, 3, stride, groups=mid))
    elif row.expand_ratio > 1:
        expansion = ghost(in_channels, mid, 3, stride)
    else:
        expansion = conv(mid, mid, 3, stride, groups=mid)
    return GhostBlock(
        expansion,
        mid,
        row.out_channels,
        residual=stride == 1 and in_channels == row.out_channels,
        stochastic_depth_prob=stochastic_depth_prob,
        recipe=recipe,
    )


def ghost_efficientnet_v2(
    num_classes: int,
    in_channels: int = 3,
    *,
    width_mult: float = 1.0,
    depth_mult: float = 1.0,
    cosine_head: bool = False,
    dropout: float = 0.1,
    recipe: Recipe | None = None,
    weights: str | None = None,
) -> GhostEfficientNetV2:
    """Ghost-EfficientNetV2; without a `recipe` it is built by `Recipe()`, which trains.

    `weights` names trained weights to start from, as in `load_weights`.
    """
    if int(STEM_CHANNELS * width_mult) < 2:
        raise ValueError(
            f"width_mult must leave at least two of the stem's {STEM_CHANNELS} channels, which a"
            f" Ghost module needs, not {width_mult}"
        )
    if not depth_mult > 0:
        raise ValueError(f"depth_mult must be above 0, not {depth_mult}")
    net = GhostEfficientNetV2(
        [row.scaled(width_mult, depth_mult) for row in STAGES],
        stem_channels=int(STEM_CHANNELS * width_mult),
        in_channels=in_channels,
        num_classes=num_classes,
        cosine_head=cosine_head,
        dropout=dropout,
        recipe=recipe or Recipe(),
    )
    return with_weights(net, weights)
