"""A detector's backbone: the trunk of a GhostNet, frozen in part or not, and a pyramid.

Feature pyramid: Lin et al., CVPR 2017, https://arxiv.org/abs/1612.03144.
"""

from collections import OrderedDict
from collections.abc import Sequence

from torch import Tensor, nn
from torchvision.ops import FeaturePyramidNetwork, FrozenBatchNorm2d


class Pyramid(nn.Module):
    """Backbone `body` and its feature pyramid: [N, 3, H, W] -> levels of `channels` maps each.

    `taps` names the maps of the body that the pyramid reads; the lowest level has the number of the
    first of them, P2 or P3. `extra_blocks` makes the levels above the last map.
    """

    def __init__(
        self, body: nn.Module, taps: Sequence[str], channels: int, extra_blocks: nn.Module
    ) -> None:
        super().__init__()
        self.body = body
        of_taps = [body.feature_channels[name] for name in taps]
        self.fpn = FeaturePyramidNetwork(of_taps, channels, extra_blocks)
        self.taps = tuple(taps)
        self.out_channels = channels

    def forward(self, images: Tensor) -> OrderedDict[str, Tensor]:
        maps = self.body(images)
        levels = self.fpn(OrderedDict((name, maps[name]) for name in self.taps)).values()
        first = int(self.taps[0].removeprefix("C"))
        return OrderedDict((f"P{level}", each) for level, each in enumerate(levels, first))


def freeze_norms(module: nn.Module) -> None:
    """Replace each batch norm inside `module` by one whose statistics and weights never change."""
    for name, child in module.named_children():
        if isinstance(child, nn.BatchNorm2d):
            frozen = FrozenBatchNorm2d(child.num_features, child.eps).to(child.weight)
            frozen.load_state_dict(child.state_dict())
            setattr(module, name, frozen)
        else:
            freeze_norms(child)


def detection_body(backbone: nn.Module, trainable_stages: int, frozen_norm: bool) -> nn.Module:
    """Trunk of `backbone`; only its last `trainable_stages` stages train.

    The stages before them are frozen, with their batch norms. `frozen_norm` freezes the batch norms
    of the stages that train, too. ValueError for a backbone without a trunk, or a number of stages
    that it does not have.
    """
    if not hasattr(backbone, "trunk"):
        raise ValueError(
            f"backbone must be a network with a trunk() that gives the maps C2 to C5, as ghostnet"
            f", ghostnet_v2 and repghostnet have, not {type(backbone).__name__}"
        )
    body = backbone.trunk()
    stages = body.stages()
    if not 0 <= trainable_stages <= len(stages):
        raise ValueError(
            f"trainable_stages is 0 to {len(stages)}, counted from the last, not {trainable_stages}"
        )
    for stage in stages[: len(stages) - trainable_stages]:
        stage.requires_grad_(False)
        freeze_norms(stage)
    if frozen_norm:
        freeze_norms(body)
    return body
