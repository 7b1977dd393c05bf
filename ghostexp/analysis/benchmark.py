"""Timing: candidates take turns in one process, so that a drift of the machine meets all alike.

On a shared machine differences under 20 % are noise, and two threads on two cores become many times
slower beside any other process. Measure on a quiet machine, and quote medians with their spread.
"""

import random
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from statistics import median

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

Batch = tuple[Tensor, Tensor]

SECONDS_PER_ROUND = 0.02  # of one candidate: enough calls for the clock
ORDER_SEED = 0


@dataclass(frozen=True)
class Timing:
    """Seconds that one candidate took, one value per round."""

    name: str
    seconds: list[float]

    @property
    def median(self) -> float:
        return median(self.seconds)

    def ratios(self, other: "Timing") -> list[float]:
        """These seconds divided by the seconds of `other`, in each round: a round holds both."""
        return [own / its for own, its in zip(self.seconds, other.seconds, strict=True)]

    @property
    def spread(self) -> str:
        """Fastest to slowest round, in ms."""
        return f"{min(self.seconds) * 1e3:.2f}-{max(self.seconds) * 1e3:.2f}"


def interleave(candidates: dict[str, Callable[[], float]], *, rounds: int) -> list[Timing]:
    """Call every candidate once per round; each returns its own seconds.

    Every round has another order, the same in every process: what one candidate leaves behind, in
    the caches or in the clock of the processor, does not always meet the same next one. A first
    round warms up and is not among the `rounds` that count.
    """
    seconds: dict[str, list[float]] = {name: [] for name in candidates}
    order, generator = list(candidates), random.Random(ORDER_SEED)
    for index in range(rounds + 1):
        generator.shuffle(order)
        for name in order:
            taken = candidates[name]()
            if index > 0:
                seconds[name].append(taken)
    return [Timing(name, values) for name, values in seconds.items()]


def seconds_per_batch(batches: Iterable[Batch]) -> float:
    """Mean seconds to produce one of `batches`."""
    count, started = 0, time.perf_counter()
    for _ in batches:
        count += 1
    return (time.perf_counter() - started) / count


def seconds_per_step(
    net: nn.Module,
    optimizer: Optimizer,
    batches: Iterator[Batch],
    autocast: AbstractContextManager,
) -> float:
    """Mean seconds per training step of a bare PyTorch loop, with which our loop is compared."""
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
    """A candidate for `interleave`: mean seconds per call, over so many as fill SECONDS_PER_ROUND.

    Two calls, which are not counted, find out how many that are.
    """

    def seconds(calls: int) -> float:
        started = time.perf_counter()
        for _ in range(calls):
            call()
        if device.type == "cuda":
            torch.cuda.synchronize()
        return (time.perf_counter() - started) / calls

    calls = max(1, round(SECONDS_PER_ROUND / seconds(2)))
    return lambda: seconds(calls)
