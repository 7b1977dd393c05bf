"""A stage of a network with ghosts: only a part of the maps goes through the inner blocks.

"GhostNets on Heterogeneous Devices via Cheap Operations", Han et al., IJCV 2022,
https://arxiv.org/abs/2201.03297. A Ghost module saves within one layer, and a G-Ghost stage saves
within all layers of a resolution, which suits GPUs and other engines for dense convolutions.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torchvision.ops import Conv2dNormActivation


class GhostStage(nn.Module):
    """[N, c, H, W] -> [N, n, H / stride, W / stride]; `last` reads and makes n = `channels` maps.

    The first m = `intrinsic` maps of `first` go through the `blocks`, of m maps each. The other
    n - m maps become ghosts by a 1x1 convolution, to which the mix is added: what all blocks have
    made, as means over pixels.
    """

    def __init__(
        self,
        first: nn.Module,
        blocks: Sequence[nn.Module],
        last: nn.Module,
        *,
        channels: int,
        intrinsic: int,
    ) -> None:
        super().__init__()
        self.intrinsic = intrinsic
        ghosts = channels - intrinsic
        self.first = first
        self.blocks = nn.ModuleList(blocks)
        self.last = last
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.mix = nn.Sequential(
            Conv2dNormActivation(channels + len(blocks) * intrinsic, ghosts, 1),
            Conv2dNormActivation(ghosts, ghosts, 1, activation_layer=None),
        )
        self.cheap_operation = Conv2dNormActivation(ghosts, ghosts, 1, activation_layer=None)
        self.relu = nn.ReLU(inplace=True)

    def forward(self, inputs: Tensor) -> Tensor:
        maps = self.first(inputs)  # [N, n, H, W]
        intrinsic, others = maps[:, : self.intrinsic], maps[:, self.intrinsic :]
        means = [self.pool(maps)]  # each map is pooled by itself: a concatenation would copy it
        for block in self.blocks:
            intrinsic = block(intrinsic)  # [N, m, H, W]
            means.append(self.pool(intrinsic))
        mix = self.mix(torch.cat(means, dim=1))  # [N, n - m, 1, 1]
        ghosts = self.relu(self.cheap_operation(others) + mix)
        return self.last(torch.cat([intrinsic, ghosts], dim=1))
