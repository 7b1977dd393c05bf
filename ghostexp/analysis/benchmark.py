"""Timing: candidates in turn in one process, so that a machine's drift meets all of them alike.

Differences under 20 % are noise on a shared machine, and two threads on two cores slow down many
times beside any other process: measure on a quiet one, and quote medians with their spread.
"""

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from statistics import median

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

Batch = tuple[Tensor, Tensor]

SECONDS_A_ROUND = 0.02  # of one candidate: enough calls for the clock


@dataclass(frozen=True)
class Timing:
    """Seconds that one candidate took, a value a round."""

    name: str
    seconds: list[float]

    @property
    def median(self) -> float:
        return median(self.seconds)

    def ratios(self, other: "Timing") -> list[float]:
        """Seconds over those of `other`, round by round: rounds of both lie side by side."""
        return [own / its for own, its in zip(self.seconds, other.seconds, strict=True)]

    @property
    def spread(self) -> str:
        """Fastest to slowest round, in ms."""
        return f"{min(self.seconds) * 1e3:.2f}-{max(self.seconds) * 1e3:.2f}"


def interleave(candidates: dict[str, Callable[[], float]], *, rounds: int) -> list[Timing]:
    """Call every candidate once a round; each returns its own seconds. The first round is warm-up.

    `rounds` are the counted ones.
    """
    seconds: dict[str, list[float]] = {name: [] for name in candidates}
    for index in range(rounds + 1):
        for name, candidate in candidates.items():
            taken = candidate()
            if index > 0:
                seconds[name].append(taken)
    return [Timing(name, values) for name, values in seconds.items()]


def seconds_a_batch(batches: Iterable[Batch]) -> float:
    """Mean seconds to produce one of `batches`."""
    count, started = 0, time.perf_counter()
    for _ in batches:
        count += 1
    return (time.perf_counter() - started) / count


def seconds_a_step(
    net: nn.Module,
    optimizer: Optimizer,
    batches: Iterator[Batch],
    autocast: AbstractContextManager,
) -> float:
    """Mean seconds of a training step in a bare PyTorch loop, which ours is held against."""
    count, started = 0, time.perf_counter()
    for images, labels in batches:
        with autocast:
            loss = nn.functional.cross_entropy(net(images).float(), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        count += 1
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return (time.perf_counter() - started) / count


def repeated(call: Callable[[], Tensor], device: torch.device) -> Callable[[], float]:
    """Mean seconds of a call, over as many as fill SECONDS_A_ROUND; two calls find out."""

    def seconds(calls: int) -> float:
        started = time.perf_counter()
        for _ in range(calls):
            call()
        if device.type == "cuda":
            torch.cuda.synchronize()
        return (time.perf_counter() - started) / calls

    calls = max(1, round(SECONDS_A_ROUND / seconds(2)))
    return lambda: seconds(calls)
