"""What our kernels gain in training: whole steps of networks with torch's operators and with ours.

All take turns in one process on random images, forward, backward and SGD, as `callbacks=fast` and a
default run compute them.
"""

from collections.abc import Mapping
from contextlib import nullcontext
from copy import deepcopy
from dataclasses import dataclass

import torch
from rich.table import Table
from torch import nn

from ghostexp.analysis.benchmark import Batch, Timing, interleave, seconds_a_step
from ghostexp.layers.fast import FastLayers

TORCH, OWN = "torch's operators", "own kernels"
SAME_LOSS = 1e-3  # share by which rounding may move the first loss, in float32


@dataclass(frozen=True)
class StepTiming:
    """Seconds a training step of one network, round by round."""

    name: str
    batch_size: int
    torch: Timing
    own: Timing

    @property
    def gain(self) -> float:
        """How many times as fast our kernels are as torch's operators."""
        return self.torch.median / self.own.median

    @property
    def gains(self) -> tuple[float, float]:
        """Smallest and largest gain of a round."""
        ratios = self.torch.ratios(self.own)
        return min(ratios), max(ratios)


def time_steps(
    nets: Mapping[str, tuple[nn.Module, tuple[int, ...]]],
    *,
    batch_size: int,
    rounds: int,
    bf16: bool,
) -> list[StepTiming]:
    """A timing for each network, given with its input shape (C, H, W); they stay as they are.

    ValueError where own kernels do not give the loss of torch's operators.
    """
    candidates = {}
    for name, (net, shape) in nets.items():
        forms = {TORCH: deepcopy(net), OWN: FastLayers()(deepcopy(net))}
        batch = _random_batch(net, shape, batch_size)
        steps = {form: _Steps(copy, batch, bf16) for form, copy in forms.items()}
        _check_losses(name, {form: step.first_loss() for form, step in steps.items()})
        candidates |= {(name, form): step for form, step in steps.items()}
    timed = {timing.name: timing for timing in interleave(candidates, rounds=rounds)}
    return [StepTiming(name, batch_size, timed[name, TORCH], timed[name, OWN]) for name in nets]


def steps_table(timings: list[StepTiming], references: Mapping[str, str]) -> Table:
    """A row a network; `references` name the one that its steps with our kernels stand beside."""
    table = Table(
        "network", TORCH + ", images/s", OWN + ", images/s", "gain [lowest-highest round]"
    )
    table.add_column("times as fast as")
    own = {timing.name: timing.own.median for timing in timings}
    for timing in timings:
        reference = references[timing.name]
        rates = (timing.batch_size / form.median for form in (timing.torch, timing.own))
        low, high = timing.gains
        beside = f"{own[reference] / timing.own.median:.2f} {reference}"
        table.add_row(
            timing.name,
            *(f"{rate:,.0f}" for rate in rates),
            f"{timing.gain:.2f} [{low:.2f}-{high:.2f}]",
            "" if reference == timing.name else beside,
        )
    return table


class _Steps:
    """Calls take a training step on the same batch and return its seconds."""

    def __init__(self, net: nn.Module, batch: Batch, bf16: bool) -> None:
        self.net = net.train().to(memory_format=torch.channels_last)
        self.optimizer = torch.optim.SGD(net.parameters(), lr=1e-3, momentum=0.9)
        self.batch = batch
        self.bf16 = bf16

    def __call__(self) -> float:
        autocast = torch.autocast("cpu", torch.bfloat16) if self.bf16 else nullcontext()
        return seconds_a_step(self.net, self.optimizer, iter([self.batch]), autocast)

    def first_loss(self) -> float:
        """In float32, without a step."""
        images, labels = self.batch
        with torch.random.fork_rng(), torch.no_grad():
            torch.manual_seed(0)  # dropout
            logits = deepcopy(self.net)(images)
        return float(nn.functional.cross_entropy(logits, labels))


def _random_batch(net: nn.Module, shape: tuple[int, ...], batch_size: int) -> Batch:
    images = torch.randn(batch_size, *shape).to(memory_format=torch.channels_last)
    with torch.no_grad():
        num_classes = deepcopy(net).eval()(images[:1]).shape[1]
    return images, torch.randint(num_classes, (batch_size,))


def _check_losses(name: str, losses: dict[str, float]) -> None:
    expected, found = losses[TORCH], losses[OWN]
    if not abs(found - expected) <= SAME_LOSS * expected:
        raise ValueError(f"{name}: own kernels give the loss {found:.4f}, torch's {expected:.4f}")
