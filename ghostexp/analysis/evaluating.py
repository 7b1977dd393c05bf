"""Evaluation mode for as long as something looks at a network."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn


@contextmanager
def evaluating(net: nn.Module) -> Iterator[None]:
    """Inside, `net` is in evaluation mode and no gradients are recorded.

    Afterwards each module has the mode that it had before: a frozen batch norm stays frozen.
    """
    modes = {module: module.training for module in net.modules()}
    net.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        for module, training in modes.items():
            module.training = training
