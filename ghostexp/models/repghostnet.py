"""RepGhostNet: GhostNet's bottlenecks with ghosts that are added instead of concatenated.

"RepGhost: A Hardware-Efficient Ghost Module via Re-parameterization", Chen et al. 2022,
https://arxiv.org/abs/2211.06088. The sum lets each bottleneck be half as wide inside, and it folds
into a depthwise convolution: `fuse_branches` gives the deployed form, which has the same macs. With
1000 classes, for 224x224 images:

    width_mult                 0.5         0.58          0.8          1.0
    params, training     2,313,968    2,546,388    3,278,968    4,073,604
    params, deployed     2,306,528    2,537,736    3,267,112    4,058,772
    macs                43,314,720   59,804,016   95,518,948  142,394,128

    width_mult                1.11          1.3          1.5          2.0
    params, training     4,539,984    5,478,612    6,575,336    9,796,124
    params, deployed     4,523,568    5,459,316    6,553,064    9,766,460
    macs               170,124,224  231,123,652  301,315,856  515,869,856
"""

from functools import partial

from ghostexp.layers.rep_ghost import added_ghost, fuse_branches
from ghostexp.models.ghostnet import BlockRow, GhostBottleneck, GhostNet, build

__all__ = ["fuse_branches", "repghostnet"]

BLOCKS = [  # the authors' table
    # kernel, #mid, #out, SE, stride         map of a 224x224 image
    BlockRow(3, 8, 16, False, 1),  # 112
    BlockRow(3, 24, 24, False, 2),
    BlockRow(3, 36, 24, False, 1),  # 56, C2
    BlockRow(5, 36, 40, True, 2),
    BlockRow(5, 60, 40, True, 1),  # 28, C3
    BlockRow(3, 120, 80, False, 2),
    BlockRow(3, 100, 80, False, 1),
    BlockRow(3, 120, 80, False, 1),  # not half of GhostNet's 184
    BlockRow(3, 120, 80, False, 1),
    BlockRow(3, 240, 112, True, 1),
    BlockRow(3, 336, 112, True, 1),  # 14, C4
    BlockRow(5, 336, 160, True, 2),
    BlockRow(5, 480, 160, False, 1),
    BlockRow(5, 480, 160, True, 1),
    BlockRow(5, 480, 160, False, 1),
    BlockRow(5, 480, 160, True, 1),  # 7, C5
]

RepGhostBottleneck = partial(GhostBottleneck, ghost_layer=added_ghost)


def repghostnet(
    num_classes: int = 1000,
    in_channels: int = 3,
    *,
    width_mult: float = 1.0,
    dropout: float = 0.2,
    small_input: bool = False,
    weights: str | None = None,
) -> GhostNet:
    """RepGhostNet in its training form; the arguments as in `ghostexp.models.ghostnet.build`."""
    return build(
        [RepGhostBottleneck] * len(BLOCKS),
        num_classes,
        in_channels,
        width_mult=width_mult,
        dropout=dropout,
        small_input=small_input,
        weights=weights,
        table=BLOCKS,
    )
