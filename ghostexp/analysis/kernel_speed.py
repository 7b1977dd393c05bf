"""Speed of the kernels of a native step, layer by layer, beside the most that the CPU can reach.

The most is a loop of multiply-adds that reads no memory. A kernel does more than it is counted for:
batch norms, ReLU, residuals and ghosts are in its time, the multiply-adds of its convolution alone
in its speed.
"""

import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from rich.table import Table
from torch import nn

from ghostexp.native.forward import Call
from ghostexp.native.program import Program, Shape
from ghostexp.native.read import read_step
from ghostexp.native.run import Run

PASSES = ("forward", "backward")
ROUNDS_OF_LOOP = 100_000  # a fraction of a millisecond, which other processes often spare
LOOPS = 10
SUMS = 12  # of the loop in kernels/training.cpp


@dataclass(frozen=True)
class KernelSpeed:
    """The fastest call of a kernel in any round."""

    kernel: str  # forward or backward
    shape: Shape
    layers: int
    milliseconds: float
    gflops: float  # of the convolution; a multiply-add is two
    share: float  # of the ceiling


def time_kernels(
    net: nn.Module, input_shape: tuple[int, ...], *, batch_size: int, rounds: int, bf16: bool
) -> tuple[float, list[KernelSpeed]]:
    """GFLOP/s of the loop, and the speeds of all kernels of a step of `net`, slowest in sum first.

    ValueError if the network has no native step.
    """
    plan, _ = read_step(net, input_shape)
    program = Program(plan, bf16)
    run = Run(plan, program, batch_size)
    run.backward(torch.zeros_like(run.forward(torch.randn(batch_size, *input_shape))))
    names = {
        program.function(kernel, conv).__name__: (kernel, shape)
        for conv, shape in program.shapes.items()
        for kernel in PASSES
    }
    twice = {  # backward: gradients of weights, and of inputs that are not the images
        program.function("backward", conv).__name__
        for conv in plan.convs
        if conv.inputs.maps is not plan.images
    }
    calls = [call for call in run.calls if call.func.__name__ in names]
    layers = Counter(call.func.__name__ for call in calls)
    ceiling = _ceiling(program, rounds)
    found = []
    for name, seconds in _fastest(calls, rounds).items():
        kernel, shape = names[name]
        gflops = 2e-9 * shape.macs * (1 + (name in twice)) * batch_size / seconds
        speed = KernelSpeed(kernel, shape, layers[name], seconds * 1e3, gflops, gflops / ceiling)
        found.append(speed)
    return ceiling, sorted(found, key=lambda each: -each.layers * each.milliseconds)


def _fastest(calls: Sequence[Call], rounds: int) -> dict[str, float]:
    """Seconds of the fastest call of each function."""
    fastest: dict[str, float] = {}
    for _ in range(rounds):
        for call in calls:
            started = time.perf_counter()
            call()
            seconds = time.perf_counter() - started
            name = call.func.__name__
            fastest[name] = min(fastest.get(name, seconds), seconds)
    return fastest


def kernels_table(title: str, ceiling: float, speeds: list[KernelSpeed]) -> Table:
    """A row per kernel and shape."""
    table = Table("kernel", "shape", "layers", "ms per layer", "GFLOP/s", "share of the ceiling")
    table.title = f"{title}: the ceiling is {ceiling:.0f} GFLOP/s"
    for each in speeds:
        numbers = f"{each.milliseconds:.2f}", f"{each.gflops:.0f}", f"{each.share:.0%}"
        table.add_row(each.kernel, str(each.shape), str(each.layers), *numbers)
    return table


def _ceiling(program: Program, rounds: int) -> float:
    """GFLOP/s of multiply-adds alone, on all threads."""
    threads, values = torch.get_num_threads(), torch.tensor([1e-3, 1e-3, 0.0])
    fastest = float("inf")
    for _ in range(LOOPS * rounds):
        started = time.perf_counter()
        program.library.multiply_adds(ROUNDS_OF_LOOP, threads, values.data_ptr())
        fastest = min(fastest, time.perf_counter() - started)
    return 2e-9 * SUMS * program.macs_at_once * ROUNDS_OF_LOOP * threads / fastest
