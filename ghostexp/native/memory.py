"""Memory of training steps that is used again: fresh pages would cost a fifth of a step."""

from collections import defaultdict

import torch
from torch import Tensor


class Memory:
    """Hands out blocks of float32 values; a forgotten block is handed out again."""

    def __init__(self) -> None:
        self.free: dict[int, list[Tensor]] = defaultdict(list)

    def take(self, values: int) -> "Block":
        """A block whose values are arbitrary."""
        free = self.free[values]
        return Block(free.pop() if free else torch.empty(values), free)


class Block:
    """A tensor that returns to its `free` list when the block is forgotten."""

    def __init__(self, tensor: Tensor, free: list[Tensor]) -> None:
        self.tensor = tensor
        self._free = free

    def __del__(self) -> None:
        self._free.append(self.tensor)

    @property
    def address(self) -> int:
        """Where the values lie."""
        return self.tensor.data_ptr()
