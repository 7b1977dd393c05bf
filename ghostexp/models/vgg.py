"""VGG-16 for 32x32 images: the paper's 13 convolutions with batch norm and a small head.

"Very Deep Convolutional Networks for Large-Scale Image Recognition", Simonyan and Zisserman 2014,
table 1, https://arxiv.org/abs/1409.1556. The CIFAR-10 head is 512 -> 512 -> classes, without
dropout.
"""

import torch
from torch import Tensor, nn

from ghostexp.layers.least_size import check_size
from ghostexp.models.init import init_weights
from ghostexp.models.weights import with_weights

torch.fx.wrap("check_size")

CONFIGURATION_D = [  # table 1, column D; every row ends in a 2x2 max-pool
    # out_channels, convolutions
    (64, 2),
    (128, 2),
    (256, 3),
    (512, 3),
    (512, 3),
]


class VGG(nn.Module):
    """Convolution stages, mean and a two-layer head, [N, c, H, W] -> [N, classes], H, W >= 32."""

    def __init__(
        self, stages: list[tuple[int, int]], num_classes: int = 10, in_channels: int = 3
    ) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        width = in_channels
        for out_channels, convolutions in stages:
            for _ in range(convolutions):
                layers += _conv_bn_relu(width, out_channels)
                width = out_channels
            layers.append(nn.MaxPool2d(2))
        self.features = nn.Sequential(*layers)
        self.pool = nn.AdaptiveAvgPool2d(1)  # larger images leave more than one pixel
        self.classifier = nn.Sequential(
            nn.Linear(width, 512), nn.ReLU(inplace=True), nn.Linear(512, num_classes)
        )
        self.smallest_image = side = 2 ** len(stages)  # pixels that the poolings reduce to one
        self.size_rule = f"VGG's poolings need images of at least {side}x{side} pixels"
        init_weights(self)

    def forward(self, images: Tensor) -> Tensor:
        check_size(images, self.smallest_image, self.size_rule)
        maps = self.features(images)  # [N, 512, H // 32, W // 32]
        return self.classifier(self.pool(maps).flatten(1))


def _conv_bn_relu(in_channels: int, out_channels: int) -> list[nn.Module]:
    return [
        nn.Conv2d(in_channels, out_channels, 3, padding=1),
        nn.BatchNorm2d(out_channels),
        nn.ReLU(inplace=True),
    ]


def vgg16(num_classes: int = 10, in_channels: int = 3, *, weights: str | None = None) -> VGG:
    """VGG-16, configuration D; `weights` names trained weights to start from (`load_weights`)."""
    net = VGG(CONFIGURATION_D, num_classes, in_channels)
    return with_weights(net, weights)
