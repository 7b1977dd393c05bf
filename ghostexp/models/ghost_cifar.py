"""Ghost-ResNet-56 and Ghost-VGG-16: the baselines with every convolution converted.

"GhostNet: More Features from Cheap Operations", Han et al., CVPR 2020, section 4.1,
https://arxiv.org/abs/1911.11907. Stem and 1x1 shortcuts are converted too, and `skip` names
convolutions that stay dense. Ratio 1 converts nothing and gives the baseline.

The paper does not say where batch norm and ReLU stand. Three switches say it:

    inner_norm        a batch norm in both halves of each Ghost module
    inner_activation  a ReLU at the end of both halves
    outer_norm        the batch norm of the dense network behind the module; None, the default, is
                      false with `inner_norm` and true without it

The authors' GhostNet has norm and activation inside and nothing behind. Other people's
Ghost-ResNet-56 also keep the outer norm: https://github.com/TingsongYu/ghostnet_cifar10.
"""

from collections.abc import Sequence

from torch import nn

from ghostexp.layers.ghost import GhostModule
from ghostexp.models.convert import convert_to_ghost
from ghostexp.models.init import init_weights
from ghostexp.models.resnet import CifarResNet, resnet56
from ghostexp.models.vgg import VGG, vgg16
from ghostexp.models.weights import with_weights

EVERY = ("*",)  # also a layer that gets no smaller, as the paper does


def ghost_resnet56(
    num_classes: int = 10,
    in_channels: int = 3,
    *,
    ratio: int = 2,
    cheap_kernel_size: int = 3,
    shortcut: str = "B",
    inner_norm: bool = False,
    inner_activation: bool = False,
    outer_norm: bool | None = None,
    skip: Sequence[str] = (),
    weights: str | None = None,
) -> CifarResNet:
    """`resnet56` with its convolutions converted: 57 with shortcut B, 55 with shortcut A.

    `weights` names trained weights to start from, as in `load_weights`.
    """
    net = resnet56(num_classes, in_channels, shortcut=shortcut)
    moves = _outer_norm_moves(inner_norm, outer_norm)
    convert_to_ghost(net, ratio, cheap_kernel_size, skip=skip, only=EVERY, inner_norm=moves)
    _complete_halves(net, norm=inner_norm and not moves, activation=inner_activation)
    init_weights(net)
    return with_weights(net, weights)


def ghost_vgg16(
    num_classes: int = 10,
    in_channels: int = 3,
    *,
    ratio: int = 2,
    cheap_kernel_size: int = 3,
    inner_norm: bool = False,
    inner_activation: bool = False,
    outer_norm: bool | None = None,
    skip: Sequence[str] = (),
    weights: str | None = None,
) -> VGG:
    """`vgg16` with its 13 convolutions converted; `weights` as in `ghost_resnet56`."""
    net = vgg16(num_classes, in_channels)
    moves = _outer_norm_moves(inner_norm, outer_norm)
    convert_to_ghost(net, ratio, cheap_kernel_size, skip=skip, only=EVERY, inner_norm=moves)
    _complete_halves(net, norm=inner_norm and not moves, activation=inner_activation)
    init_weights(net)
    return with_weights(net, weights)


def _outer_norm_moves(inner_norm: bool, outer_norm: bool | None) -> bool:
    """Whether the batch norm behind each Ghost module moves into its halves."""
    if outer_norm is False and not inner_norm:
        raise ValueError(
            "outer_norm=false needs inner_norm=true: without any batch norm the network does not"
            " train"
        )
    return inner_norm and not outer_norm


def _complete_halves(net: nn.Module, *, norm: bool, activation: bool) -> None:
    """Add what each half of the Ghost modules of `net` has to end in."""
    ghosts = [module for module in net.modules() if isinstance(module, GhostModule)]
    for half in (half for ghost in ghosts for half in ghost.children()):
        if norm:
            half.append(nn.BatchNorm2d(half[0].out_channels))
        if activation:
            half.append(nn.ReLU(inplace=True))
