"""LayerScale: a learnt factor for each channel of a residual branch, small at the start.

"Going deeper with Image Transformers", Touvron et al., ICCV 2021, section 2,
https://arxiv.org/abs/2103.17239. In the paper the factors start at 0.1 for up to 18 blocks, at 1e-5
for up to 24 and at 1e-6 for more, and training takes 300 epochs or more. A branch whose factors
start at 1e-5 adds almost nothing at first.
"""

import torch
from torch import Tensor, nn


class LayerScale2d(nn.Module):
    """Maps [N, C, H, W] times one factor per channel, which starts at `init_value`."""

    def __init__(self, channels: int, init_value: float) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.full((channels,), init_value))

    def forward(self, maps: Tensor) -> Tensor:
        return maps * self.scale[:, None, None]

    def extra_repr(self) -> str:
        return f"{len(self.scale)}"
