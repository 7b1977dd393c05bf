"""Ghost-ResNet-56 and Ghost-VGG-16: the baselines with every convolution converted.

"GhostNet: More Features from Cheap Operations", Han et al., CVPR 2020, section 4.1,
https://arxiv.org/abs/1911.11907. Stem and 1x1 shortcuts are converted too. `inner_norm` moves the
batch norm after each Ghost module into its two halves; `skip` names convolutions that stay dense.
Ratio 1 converts nothing and gives the baseline.
"""

from collections.abc import Sequence

from ghostexp.models.convert import convert_to_ghost
from ghostexp.models.init import init_weights
from ghostexp.models.resnet import CifarResNet, resnet56
from ghostexp.models.vgg import VGG, vgg16

EVERY = ("*",)  # also a layer that gets no smaller, as the paper does


def ghost_resnet56(
    num_classes: int = 10,
    in_channels: int = 3,
    *,
    ratio: int = 2,
    cheap_kernel_size: int = 3,
    shortcut: str = "B",
    inner_norm: bool = False,
    skip: Sequence[str] = (),
) -> CifarResNet:
    """`resnet56` with its convolutions converted: 57 with shortcut B, 55 with shortcut A."""
    net = resnet56(num_classes, in_channels, shortcut=shortcut)
    convert_to_ghost(net, ratio, cheap_kernel_size, skip=skip, only=EVERY, inner_norm=inner_norm)
    init_weights(net)
    return net


def ghost_vgg16(
    num_classes: int = 10,
    in_channels: int = 3,
    *,
    ratio: int = 2,
    cheap_kernel_size: int = 3,
    inner_norm: bool = False,
    skip: Sequence[str] = (),
) -> VGG:
    """`vgg16` with its 13 convolutions converted."""
    net = vgg16(num_classes, in_channels)
    convert_to_ghost(net, ratio, cheap_kernel_size, skip=skip, only=EVERY, inner_norm=inner_norm)
    init_weights(net)
    return net
