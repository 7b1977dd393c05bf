"""ECA: efficient channel attention, one small convolution over the means of the channels.

"ECA-Net: Efficient Channel Attention for Deep Convolutional Neural Networks", Wang et al., CVPR
2020, section 3, https://arxiv.org/abs/1910.03151. The kernel grows with the logarithm of the number
of channels, eq. 12 with gamma = 2 and b = 1: 3 from 8 channels on, 5 from 128, 7 from 2048.
"""

from math import log2

from torch import Tensor, nn


def eca_kernel_size(channels: int) -> int:
    """(log2(channels) + 1) / 2, rounded down, then up to an odd number, as in the authors' code."""
    size = int((log2(channels) + 1) / 2)
    return size if size % 2 else size + 1


class ECA(nn.Module):
    """Multiplies each channel by a gate from 0 to 1, [N, C, H, W] -> [N, C, H, W].

    The gate is made of the means of the channel and of its neighbours.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        size = eca_kernel_size(channels)
        self.conv = nn.Conv1d(1, 1, size, padding=size // 2, bias=False)
        self.gate = nn.Sigmoid()

    def forward(self, maps: Tensor) -> Tensor:
        means = maps.mean((2, 3))[:, None]  # [N, 1, C]: the channels are the line to filter
        return maps * self.gate(self.conv(means)).transpose(1, 2)[..., None]  # [N, C, 1, 1]
