"""ResNets for 32x32 images: a 3x3 stem and three stages of 16, 32 and 64 channels.

"Deep Residual Learning for Image Recognition", He et al. 2015, section 4.2,
https://arxiv.org/abs/1512.03385. The depth is 6n + 2 with n blocks in a stage. Shortcut A pads
channels with zeros, as the paper does on CIFAR-10; shortcut B projects with a 1x1 convolution.
"""

from collections.abc import Callable

from torch import Tensor, nn
from torch.nn.functional import pad

from ghostexp.models.init import init_weights
from ghostexp.models.weights import with_weights

Shortcut = Callable[[int, int, int], nn.Module]

STAGES = [  # section 4.2
    # channels, stride of the first block
    (16, 1),
    (32, 2),
    (64, 2),
]


class PaddingShortcut(nn.Module):
    """Shortcut A: every `stride`-th pixel, new channels are zero; no parameters."""

    def __init__(self, in_channels: int, out_channels: int, stride: int) -> None:
        super().__init__()
        self.new_channels = out_channels - in_channels
        self.stride = stride

    def forward(self, inputs: Tensor) -> Tensor:
        before = self.new_channels // 2
        pixels = inputs[:, :, :: self.stride, :: self.stride]
        return pad(pixels, (0, 0, 0, 0, before, self.new_channels - before))


class ProjectionShortcut(nn.Module):
    """Shortcut B: 1x1 convolution and batch norm."""

    def __init__(self, in_channels: int, out_channels: int, stride: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(in_channels, out_channels, 1, stride, bias=False)
        self.bn = nn.BatchNorm2d(out_channels)

    def forward(self, inputs: Tensor) -> Tensor:
        return self.bn(self.conv(inputs))


class BasicBlock(nn.Module):
    """Two 3x3 convolutions and a shortcut around them, [N, c, H, W] -> [N, n, H', W']."""

    def __init__(
        self, in_channels: int, out_channels: int, stride: int, *, shortcut: Shortcut
    ) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, out_channels, 3, stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(out_channels)
        self.relu = nn.ReLU(inplace=True)
        self.conv2 = nn.Conv2d(out_channels, out_channels, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(out_channels)
        same_shape = stride == 1 and in_channels == out_channels
        self.shortcut = nn.Identity() if same_shape else shortcut(in_channels, out_channels, stride)

    def forward(self, inputs: Tensor) -> Tensor:
        maps = self.relu(self.bn1(self.conv1(inputs)))
        maps = self.bn2(self.conv2(maps))
        return self.relu(maps + self.shortcut(inputs))


Stage = Callable[..., list[nn.Module]]


def dense_stage(
    in_channels: int, out_channels: int, stride: int, num_blocks: int, *, shortcut: Shortcut
) -> list[nn.Module]:
    """The blocks of a stage; the first block has the stride and the new width."""
    first = BasicBlock(in_channels, out_channels, stride, shortcut=shortcut)
    others = range(num_blocks - 1)
    return [first, *(BasicBlock(out_channels, out_channels, 1, shortcut=shortcut) for _ in others)]


class CifarResNet(nn.Module):
    """Stem, three stages of `num_blocks` blocks, mean, classifier; [N, c, H, W] -> [N, classes].

    `stage` makes the modules of a stage, with the arguments of `dense_stage`.
    """

    def __init__(
        self,
        num_blocks: int,
        num_classes: int = 10,
        in_channels: int = 3,
        *,
        shortcut: Shortcut = ProjectionShortcut,
        stage: Stage = dense_stage,
    ) -> None:
        super().__init__()
        width = STAGES[0][0]
        self.stem = nn.Sequential(
            nn.Conv2d(in_channels, width, 3, padding=1, bias=False),
            nn.BatchNorm2d(width),
            nn.ReLU(inplace=True),
        )
        blocks = []
        for channels, stride in STAGES:
            blocks += stage(width, channels, stride, num_blocks, shortcut=shortcut)
            width = channels
        self.blocks = nn.Sequential(*blocks)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.classifier = nn.Linear(width, num_classes)
        init_weights(self)

    def forward(self, images: Tensor) -> Tensor:
        maps = self.blocks(self.stem(images))  # [N, 64, H / 4, W / 4]
        return self.classifier(self.pool(maps).flatten(1))


def shortcut_of(letter: str) -> Shortcut:
    """The paper's name of a shortcut -> its class."""
    shortcuts = {"A": PaddingShortcut, "B": ProjectionShortcut}
    if letter not in shortcuts:
        raise ValueError(
            f"shortcut must be 'A' (zero padding) or 'B' (1x1 projection), not {letter!r}"
        )
    return shortcuts[letter]


def resnet(
    num_blocks: int, num_classes: int, in_channels: int, shortcut: str, weights: str | None
) -> CifarResNet:
    """The network of 6 * `num_blocks` + 2 layers, with the shortcut of the paper's letter.

    `weights` names trained weights to start from, as in `load_weights`.
    """
    net = CifarResNet(num_blocks, num_classes, in_channels, shortcut=shortcut_of(shortcut))
    return with_weights(net, weights)


def resnet20(
    num_classes: int = 10,
    in_channels: int = 3,
    *,
    shortcut: str = "B",
    weights: str | None = None,
) -> CifarResNet:
    """ResNet-20, n = 3; the arguments as in `resnet`."""
    return resnet(3, num_classes, in_channels, shortcut, weights)


def resnet32(
    num_classes: int = 10,
    in_channels: int = 3,
    *,
    shortcut: str = "B",
    weights: str | None = None,
) -> CifarResNet:
    """ResNet-32, n = 5; the arguments as in `resnet`."""
    return resnet(5, num_classes, in_channels, shortcut, weights)


def resnet44(
    num_classes: int = 10,
    in_channels: int = 3,
    *,
    shortcut: str = "B",
    weights: str | None = None,
) -> CifarResNet:
    """ResNet-44, n = 7; the arguments as in `resnet`."""
    return resnet(7, num_classes, in_channels, shortcut, weights)


def resnet56(
    num_classes: int = 10,
    in_channels: int = 3,
    *,
    shortcut: str = "B",
    weights: str | None = None,
) -> CifarResNet:
    """ResNet-56, n = 9; the arguments as in `resnet`."""
    return resnet(9, num_classes, in_channels, shortcut, weights)


def resnet110(
    num_classes: int = 10,
    in_channels: int = 3,
    *,
    shortcut: str = "B",
    weights: str | None = None,
) -> CifarResNet:
    """ResNet-110, n = 18; the arguments as in `resnet`."""
    return resnet(18, num_classes, in_channels, shortcut, weights)
