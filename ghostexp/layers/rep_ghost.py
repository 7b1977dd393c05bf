"""Ghost modules whose convolutions train as sums of branches, which fuse to one convolution each.

`rep_ghost`: "GhostNetV3: Exploring the Training Strategies for Compact Models", Liu et al. 2024,
https://arxiv.org/abs/2404.11202. `added_ghost`: "RepGhost: A Hardware-Efficient Ghost Module via
Re-parameterization", Chen et al. 2022, https://arxiv.org/abs/2211.06088.

Every branch ends in a batch norm. In eval mode a batch norm only scales and shifts each channel, so
the sum of the branches equals one convolution with a bias.
"""

from functools import reduce

import torch
from torch import Tensor, nn
from torch.nn.functional import pad
from torch.nn.utils.fusion import fuse_conv_bn_weights
from torchvision.ops import Conv2dNormActivation

from ghostexp.layers.copied import copied
from ghostexp.layers.ghost import GhostModule, Layer

REPEATS = 3  # branches with the full kernel in GhostNetV3


class RepConv(nn.Module):
    """Sum of branches that end in a batch norm, [N, c, H, W] -> [N, n, H / stride, W / stride].

    `repeats` branches are convolutions with the full kernel. If the full kernel is larger than 1x1,
    one more has a 1x1 kernel, unless `pointwise` is false. If input and output have the same shape,
    one more is only a batch norm.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int = 1,
        stride: int = 1,
        *,
        groups: int = 1,
        repeats: int = REPEATS,
        pointwise: bool = True,
    ) -> None:
        super().__init__()

        def branch(size: int) -> Conv2dNormActivation:
            return Conv2dNormActivation(
                in_channels, out_channels, size, stride, groups=groups, activation_layer=None
            )

        same_shape = in_channels == out_channels and stride == 1
        self.identity = nn.BatchNorm2d(in_channels) if same_shape else None
        self.repeated = nn.ModuleList(branch(kernel_size) for _ in range(repeats))
        self.pointwise = branch(1) if pointwise and kernel_size > 1 else None

    def forward(self, inputs: Tensor) -> Tensor:
        branches = (self.identity, *self.repeated, self.pointwise)
        return reduce(torch.add, (branch(inputs) for branch in branches if branch is not None))

    @torch.no_grad()
    def fused(self) -> nn.Conv2d:
        """A new convolution with a bias that gives the same as this sum in eval mode."""
        conv = self.repeated[0][0]
        folded = [_fold(branch[0].weight, branch[1]) for branch in self.repeated]
        if self.pointwise is not None:
            margin = conv.kernel_size[0] // 2
            folded.append(_fold(pad(self.pointwise[0].weight, [margin] * 4), self.pointwise[1]))
        if self.identity is not None:
            weight = nn.init.dirac_(torch.empty_like(conv.weight), conv.groups)
            folded.append(_fold(weight, self.identity))
        weights, biases = zip(*folded, strict=True)
        fused = nn.Conv2d(
            conv.in_channels,
            conv.out_channels,
            conv.kernel_size,
            conv.stride,
            conv.padding,
            groups=conv.groups,
        ).to(conv.weight)
        fused.weight.copy_(sum(weights))
        fused.bias.copy_(sum(biases))
        return fused.train(self.training)


def rep_ghost(
    in_channels: int, out_channels: int, *, activation_layer: Layer | None = None
) -> GhostModule:
    """Ghost module of ratio 2 whose two convolutions are `RepConv`: 1x1, and 3x3 depthwise."""
    ghost = GhostModule(in_channels, out_channels, activation_layer=activation_layer)
    for half in (ghost.primary_conv, ghost.cheap_operation):
        conv = half[0]
        half[0] = RepConv(
            conv.in_channels, conv.out_channels, conv.kernel_size[0], groups=conv.groups
        )
    return ghost


def added_ghost(
    in_channels: int, out_channels: int, *, activation_layer: Layer | None = None
) -> nn.Sequential:
    """RepGhost module, [N, c, H, W] -> [N, n, H, W]: ghosts are added to the maps they come from.

    A 1x1 convolution makes all n maps, and a 3x3 depthwise convolution makes one ghost of each. The
    sum of both is a `RepConv`, so one depthwise convolution remains of it where the network is
    deployed, and no concatenation. `activation_layer` follows the 1x1 convolution and the sum.
    """
    primary = Conv2dNormActivation(in_channels, out_channels, 1, activation_layer=activation_layer)
    ghosts = RepConv(out_channels, out_channels, 3, groups=out_channels, repeats=1, pointwise=False)
    activations = [] if activation_layer is None else [activation_layer(inplace=True)]
    return nn.Sequential(primary, ghosts, *activations)


def fuse_branches(net: nn.Module) -> nn.Module:
    """Deployed form of `net`: a new network with one convolution in place of each `RepConv`.

    In eval mode both networks give the same, up to rounding. `net` is not changed.
    """
    deployed = copied(net)
    if isinstance(deployed, RepConv):
        return deployed.fused()
    for module in list(deployed.modules()):
        for name, child in module.named_children():
            if isinstance(child, RepConv):
                setattr(module, name, child.fused())
    return deployed


def _fold(weight: Tensor, norm: nn.BatchNorm2d) -> tuple[Tensor, Tensor]:
    """Weight and bias of the one layer that a convolution without bias and its batch norm make."""
    return fuse_conv_bn_weights(
        weight, None, norm.running_mean, norm.running_var, norm.eps, norm.weight, norm.bias
    )
