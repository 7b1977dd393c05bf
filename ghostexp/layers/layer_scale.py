"""LayerScale: a learnt factor for each channel of a residual branch, small at the start.

"Going deeper with Image Transformers", Touvron et al., ICCV 2021, section 2,
https://arxiv.org/abs/2103.17239. The paper starts at 0.1 up to 18 blocks, at 1e-5 up to 24 and at
1e-6 beyond, for 300 epochs and more; a branch that starts at 1e-5 is switched off at first.
"""

import torch
from torch import Tensor, nn


class LayerScale2d(nn.Module):
    """Maps [N, C, H, W] times one factor a channel, `init_value` at the start."""

    def __init__(self, channels: int, init_value: float) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.full((channels,), init_value))

    def forward(self, maps: Tensor) -> Tensor:
        return maps * self.scale[:, None, None]

    def extra_repr(self) -> str:
        return f"{len(self.scale)}"
