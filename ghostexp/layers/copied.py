"""Copies of networks where plain deepcopy fails, or where a copy must not cost memory."""

from copy import deepcopy

import torch
from torch import Tensor, nn


def copied(net: nn.Module) -> nn.Module:
    """A deep copy of `net`, also where a module keeps a tensor that it has computed.

    For example, the hook of `torch.nn.utils.weight_norm` leaves the weight of the last forward pass
    in the module. Such a tensor has a history, and torch refuses to copy it.
    """
    memo: dict[int, Tensor] = {}
    for module in net.modules():
        for value in vars(module).values():
            if isinstance(value, Tensor) and not value.is_leaf:
                memo[id(value)] = value.detach().clone()
    return deepcopy(net, memo)


def copied_without_values(net: nn.Module) -> nn.Module:
    """A deep copy of `net` on the device "meta": its tensors have shapes, but no values."""
    memo: dict[int, Tensor] = {}
    for module in net.modules():
        values = [*vars(module).values(), *module._parameters.values(), *module._buffers.values()]
        for value in values:
            if isinstance(value, Tensor) and id(value) not in memo:
                empty = torch.empty_like(value, device="meta", requires_grad=False)
                is_parameter = isinstance(value, nn.Parameter)
                memo[id(value)] = (
                    nn.Parameter(empty, value.requires_grad) if is_parameter else empty
                )
    return deepcopy(net, memo)
