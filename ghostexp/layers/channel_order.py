"""A layer that puts maps into another order."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn


class ChannelOrder(nn.Module):
    """Reorder maps, [N, C, H, W] -> [N, C, H, W]: output map c is input map `index[c]`."""

    def __init__(self, index: Sequence[int]) -> None:
        super().__init__()
        self.register_buffer("index", torch.as_tensor(index))

    def forward(self, inputs: Tensor) -> Tensor:
        return inputs.index_select(1, self.index)
