"""Memory of a network: its state, and what a training step keeps for its backward pass."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from copy import deepcopy

import torch
from torch import Tensor, nn
from torch.autograd.graph import saved_tensors_hooks

from ghostexp.analysis.complexity import training_outputs


def model_bytes(net: nn.Module) -> int:
    """Bytes of all parameters and buffers."""
    return sum(t.numel() * t.element_size() for t in [*net.parameters(), *net.buffers()])


@contextmanager
def saved_storages(net: nn.Module) -> Iterator[dict[int, int]]:
    """Collect what autograd saves inside: the bytes of each storage, by its address.

    Each storage counts once, and the parameters and buffers of `net` do not count. The outputs must
    live as long as forward passes run inside, because the address of a storage that is freed may be
    given to another one.
    """
    own = {t.untyped_storage().data_ptr() for t in [*net.parameters(), *net.buffers()]}
    saved: dict[int, int] = {}

    def pack(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own:
            saved[storage.data_ptr()] = storage.nbytes()
        return tensor

    with saved_tensors_hooks(pack, lambda tensor: tensor):
        yield saved


def activation_bytes(net: nn.Module, input_shape: Sequence[int]) -> int:
    """Bytes that one more image in a batch keeps for the backward pass, in training mode.

    What is saved once per batch, such as the statistics of a batch norm, cancels out.
    """
    copy = deepcopy(net).train()  # a forward pass in training mode changes running statistics
    return _saved_bytes(copy, 3, input_shape) - _saved_bytes(copy, 2, input_shape)


def _saved_bytes(net: nn.Module, batch_size: int, input_shape: Sequence[int]) -> int:
    parameter = next(net.parameters(), torch.empty(0))
    images = torch.rand(batch_size, *input_shape, device=parameter.device, dtype=parameter.dtype)
    with torch.enable_grad(), saved_storages(net) as saved:
        outputs = training_outputs(net, images)
    del outputs  # it kept the graph alive until here
    return sum(saved.values())
