"""Ghost-ResNet-50: torchvision's ResNet-50, in which every convolution but the stem is converted.

"GhostNet: More Features from Cheap Operations", Han et al., CVPR 2020, section 4.1.3,
https://arxiv.org/abs/1911.11907. With 1000 classes and 3x3 cheap operations, for 224x224 images:

                ours                        printed in the paper
    dense       25,557,032  4,089,184,256   25.6M  4.1B
    ratio 2     13,953,512  2,151,023,360   13.0M  2.2B
    ratio 4      8,151,752  1,181,942,912    6.5M  1.2B

The macs agree with the paper. The paper's params cannot be reached: half of the convolutions'
weights are 11.7M and a quarter is 5.9M, and with the classifier's 2.0M both are more than printed.
"""

from collections.abc import Sequence

from torch import nn
from torchvision.models import ResNet, resnet50

from ghostexp.models.convert import convert_to_ghost
from ghostexp.models.init import init_weights


def ghost_resnet50(
    num_classes: int = 1000,
    in_channels: int = 3,
    *,
    ratio: int = 2,
    cheap_kernel_size: int = 3,
    skip: Sequence[str] = ("conv1",),
) -> ResNet:
    """`resnet50` with its convolutions converted; an empty `skip` converts all 53.

    `skip` names the convolutions that stay dense, as in `convert_to_ghost`.
    """
    net = resnet50(num_classes=num_classes)
    net.conv1 = nn.Conv2d(in_channels, 64, 7, 2, padding=3, bias=False)
    convert_to_ghost(net, ratio, cheap_kernel_size, skip=skip, only=("*",))
    init_weights(net)
    return net
