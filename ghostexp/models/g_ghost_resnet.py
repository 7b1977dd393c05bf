"""G-Ghost-ResNet-56 for 32x32 images: ResNet-56 whose three stages have ghosts.

"GhostNets on Heterogeneous Devices via Cheap Operations", Han et al., IJCV 2022,
https://arxiv.org/abs/2201.03297. The paper has no network for CIFAR-10: this one is ours, and no
figure is published for it. Its intrinsic channels are multiples of 8, because other numbers of
channels cost more time than they save: 12 of 16 channels are as slow as all 16. With 10 classes and
shortcut B:

    ratio                 1           2           3           4
    intrinsic      16/32/64     8/16/32     8/16/24      8/8/16
    params          855,770     361,290     305,882     242,042
    macs        125,747,840  51,640,064  48,064,896  39,418,240
"""

from functools import partial

from torch import nn

from ghostexp.layers.g_ghost import GhostStage
from ghostexp.models.ghostnet import make_divisible
from ghostexp.models.resnet import (
    BasicBlock,
    CifarResNet,
    Shortcut,
    dense_stage,
    shortcut_of,
)
from ghostexp.models.weights import with_weights

MULTIPLE = 8  # of the intrinsic channels


def ghost_stage(
    in_channels: int,
    out_channels: int,
    stride: int,
    num_blocks: int,
    *,
    shortcut: Shortcut,
    ratio: int,
) -> list[nn.Module]:
    """One G-Ghost stage, with all blocks between the first and the last on intrinsic maps."""
    intrinsic = make_divisible(out_channels / ratio, MULTIPLE)
    block = partial(BasicBlock, shortcut=shortcut)
    return [
        GhostStage(
            block(in_channels, out_channels, stride),
            [block(intrinsic, intrinsic, 1) for _ in range(num_blocks - 2)],
            block(out_channels, out_channels, 1),
            channels=out_channels,
            intrinsic=intrinsic,
        )
    ]


def g_ghost_resnet56(
    num_classes: int = 10,
    in_channels: int = 3,
    *,
    ratio: int = 2,
    shortcut: str = "B",
    weights: str | None = None,
) -> CifarResNet:
    """ResNet-56 with G-Ghost stages; `ratio` is about all maps over intrinsic maps, 1 is dense.

    The numbers of intrinsic channels are rounded to multiples of 8. `shortcut` and `weights` are
    those of `ghostexp.models.resnet.resnet`.
    """
    if not isinstance(ratio, int) or ratio < 1:
        raise ValueError(f"ratio must be a whole number of at least 1, not {ratio}")
    stage = dense_stage if ratio == 1 else partial(ghost_stage, ratio=ratio)
    net = CifarResNet(9, num_classes, in_channels, shortcut=shortcut_of(shortcut), stage=stage)
    return with_weights(net, weights)
