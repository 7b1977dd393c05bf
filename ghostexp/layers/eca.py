"""ECA: efficient channel attention, one small convolution across the channels' means.

"ECA-Net: Efficient Channel Attention for Deep Convolutional Neural Networks", Wang et al., CVPR
2020, section 3, https://arxiv.org/abs/1910.03151. Its kernel grows with the logarithm of the
channels, eq. 12 with gamma = 2 and b = 1: 3 from 8 channels on, 5 from 128, 7 from 2048.
"""

from math import log2

from torch import Tensor, nn


def eca_kernel_size(channels: int) -> int:
    """Odd number next to (log2(channels) + 1) / 2, as the authors' code rounds: down, then up."""
    size = int((log2(channels) + 1) / 2)
    return size if size % 2 else size + 1


class ECA(nn.Module):
    """Scales each channel by a gate from 0 to 1 of its neighbours' means, [N, C, H, W] as it is."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        size = eca_kernel_size(channels)
        self.conv = nn.Conv1d(1, 1, size, padding=size // 2, bias=False)
        self.gate = nn.Sigmoid()

    def forward(self, maps: Tensor) -> Tensor:
        means = maps.mean((2, 3))[:, None]  # [N, 1, C]: the channels are the line to filter
        return maps * self.gate(self.conv(means)).transpose(1, 2)[..., None]  # [N, C, 1, 1]
