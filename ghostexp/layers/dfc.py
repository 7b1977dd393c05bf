"""DFC attention: a gate for every pixel, made by two depthwise line filters on a map of half size.

"GhostNetV2: Enhance Cheap Operation with Long-Range Attention", Tang et al., NeurIPS 2022,
section 4, https://arxiv.org/abs/2211.12905. A fully connected layer over all pixels is decoupled
into one along the rows and one along the columns. Both are convolutions of a finite length.
"""

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate
from torchvision.ops import Conv2dNormActivation

from ghostexp.layers.least_size import check_size

torch.fx.wrap("check_size")

LINE = 5  # pixels that a line filter spans on the half-size map
TOO_SMALL = (
    "DFC attention halves its input: use larger images or fewer strides before it, because it must"
    " be at least 2x2"
)


class DFCAttention(nn.Module):
    """Gate from 0 to 1 for the maps of another branch, [N, c, H, W] -> [N, n, H, W].

    The layers are a 2x2 mean, a 1x1 convolution c -> n, a 1x5 and a 5x1 depthwise convolution (each
    convolution with a batch norm), a sigmoid, and nearest upsampling to the size of the input.
    ValueError if a side is shorter than 2 pixels.
    """

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.pool = nn.AvgPool2d(2)
        self.mix = Conv2dNormActivation(in_channels, out_channels, 1, activation_layer=None)
        self.horizontal = _line_filter(out_channels, (1, LINE))
        self.vertical = _line_filter(out_channels, (LINE, 1))
        self.gate = nn.Sigmoid()

    def forward(self, inputs: Tensor) -> Tensor:
        check_size(inputs, 2, TOO_SMALL)
        maps = self.mix(self.pool(inputs))  # [N, n, H / 2, W / 2]
        maps = self.gate(self.vertical(self.horizontal(maps)))
        return interpolate(maps, size=inputs.shape[-2:], mode="nearest")


def _line_filter(channels: int, kernel_size: tuple[int, int]) -> Conv2dNormActivation:
    return Conv2dNormActivation(
        channels, channels, kernel_size, groups=channels, activation_layer=None
    )
