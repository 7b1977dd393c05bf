"""What a training step costs on this machine, measured on one batch of noise."""

import time
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ghostexp.analysis.memory import saved_storages


@dataclass(frozen=True)
class StepCost:
    """Seconds of a training step, and bytes of activations that it keeps for its backward pass."""

    seconds: float
    activation_bytes: int


def step_cost(
    net: nn.Module,
    loss: Callable[[Tensor], Tensor],
    input_shape: tuple[int, int, int],
    *,
    batch_size: int,
    bf16: bool,
) -> StepCost:
    """Measure the second of two training steps on `batch_size` random images.

    `net` is not usable afterwards: its gradients and its statistics come from noise. `loss`
    gives the training loss of images [N, C, H, W] through `net`, with made-up targets.
    FloatingPointError if the loss of the noise is not finite.
    """
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    net.train().to(device, memory_format=torch.channels_last)
    images = torch.randn(batch_size, *input_shape, device=device)
    images = images.to(memory_format=torch.channels_last)
    with saved_storages(net) as saved:
        _step(loss, images, bf16)
    return StepCost(_step(loss, images, bf16), sum(saved.values()))


def _step(loss: Callable[[Tensor], Tensor], images: Tensor, bf16: bool) -> float:
    started = time.perf_counter()
    with torch.autocast(images.device.type, torch.bfloat16, enabled=bf16):
        value = loss(images)
    if not torch.isfinite(value.detach()):  # else autograd keeps the value
        raise FloatingPointError(f"the loss of a batch of noise is {value.item()}")
    value.backward()
    if images.is_cuda:
        torch.cuda.synchronize()
    return time.perf_counter() - started
