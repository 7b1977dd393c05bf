"""What our kernels gain in training: whole steps of networks with torch's operators and with ours.

All networks take turns in one process, on random images. A step is forward, backward and SGD, as a
default run and runs with `callbacks=fast` and `callbacks=native` compute it. Torch's operators are
timed in both memory layouts. A network that has no native step is timed without it.
"""

from collections.abc import Mapping
from contextlib import nullcontext, suppress
from copy import deepcopy
from dataclasses import dataclass
from statistics import median

import torch
from rich.table import Table
from torch import nn

from ghostexp.analysis.benchmark import Batch, Timing, interleave, seconds_per_step
from ghostexp.analysis.memory import saved_storages
from ghostexp.layers.fast import FastLayers
from ghostexp.native import NativeStep

NCHW, TORCH, OURS = "torch, NCHW", "torch, channels_last", "callbacks=fast"
NATIVE = "callbacks=native"
MB = 1e6
SAME_LOSS = 1e-3  # the share by which rounding may change the first loss, in float32


@dataclass(frozen=True)
class StepTiming:
    """Seconds per training step of one network, round by round."""

    name: str
    batch_size: int
    nchw: Timing  # torch's operators in torch's own layout
    torch: Timing  # torch's operators on channels_last maps, the default of a run
    ours: Timing
    layers: str  # how many layers our kernels compute, of those that they could compute
    native: Timing | None = None  # None: the network has no native step
    megabytes: str = ""  # what torch keeps for the backward pass, and all maps of a native step

    @property
    def native_gains(self) -> list[float]:
        """How many times as fast a native step is as the fastest other form, round by round."""
        others = (self.nchw, self.torch, self.ours)
        return min(others, key=lambda form: form.median).ratios(self.native)

    @property
    def gain(self) -> float:
        """How many times as fast `callbacks=fast` is as the default."""
        return self.torch.median / self.ours.median

    @property
    def gains(self) -> tuple[float, float]:
        """Smallest and largest gain of a round."""
        ratios = self.torch.ratios(self.ours)
        return min(ratios), max(ratios)


def time_steps(
    nets: Mapping[str, tuple[nn.Module, tuple[int, ...]]],
    *,
    batch_size: int,
    rounds: int,
    bf16: bool,
) -> list[StepTiming]:
    """A timing for each network of `nets`, a network and its input shape (C, H, W) for each name.

    The networks stay as they are. ValueError if our kernels do not give the loss that torch's
    operators give.
    """
    candidates, changes = {}, {}
    for name, (net, shape) in nets.items():
        changes[name] = change = FastLayers()
        copies = {NCHW: deepcopy(net), TORCH: deepcopy(net), OURS: change(deepcopy(net))}
        with suppress(ValueError):  # no native step, which the table says
            copies[NATIVE] = NativeStep()(deepcopy(net))
        batch = _random_batch(net, shape, batch_size)
        layouts = (NCHW, NATIVE)
        steps = {
            form: _Steps(copy, batch, bf16, form not in layouts) for form, copy in copies.items()
        }
        _check_losses(name, {form: step.first_loss() for form, step in steps.items()})
        candidates |= {(name, form): step for form, step in steps.items()}
    timed = {timing.name: timing for timing in interleave(candidates, rounds=rounds)}
    return [
        StepTiming(
            name,
            batch_size,
            *(timed[name, form] for form in (NCHW, TORCH, OURS)),
            "{} of {}".format(*changes[name].count(candidates[name, OURS].net)),
            timed.get((name, NATIVE)),
            _megabytes(candidates[name, TORCH], candidates.get((name, NATIVE))),
        )
        for name in nets
    ]


def steps_table(timings: list[StepTiming], references: Mapping[str, str]) -> Table:
    """A row per network; `references` name the network that each is compared with."""
    table = Table("network", *(f"{form}, images/s" for form in (NCHW, TORCH, OURS)))
    for title in ("layers", f"{OURS} / channels_last (rounds)", "times as fast as"):
        table.add_column(title)
    for title in (f"{NATIVE}, images/s", f"{NATIVE} / fastest other (rounds)", "times as fast as"):
        table.add_column(title)
    table.add_column("MB of maps: torch, native")
    ours = {timing.name: timing.ours.median for timing in timings}
    natives = {timing.name: timing.native.median for timing in timings if timing.native}
    for timing in timings:
        reference = references[timing.name]
        forms = (timing.nchw, timing.torch, timing.ours)
        low, high = timing.gains
        beside = f"{ours[reference] / timing.ours.median:.2f} {reference}"
        table.add_row(
            timing.name,
            *(f"{timing.batch_size / form.median:,.0f}" for form in forms),
            timing.layers,
            f"{timing.gain:.2f} [{low:.2f}-{high:.2f}]",
            "" if reference == timing.name else beside,
            *_native_cells(timing, reference, natives),
            timing.megabytes,
        )
    return table


def _native_cells(
    timing: StepTiming, reference: str, natives: Mapping[str, float]
) -> tuple[str, str, str]:
    if timing.native is None:
        return "none", "", ""
    gains, beside = timing.native_gains, ""
    if reference != timing.name and reference in natives:
        beside = f"{natives[reference] / timing.native.median:.2f} {reference}"
    gain = f"{median(gains):.2f} [{min(gains):.2f}-{max(gains):.2f}]"
    return f"{timing.batch_size / timing.native.median:,.0f}", gain, beside


class _Steps:
    """Each call takes a training step on the same batch and returns its seconds."""

    def __init__(self, net: nn.Module, batch: Batch, bf16: bool, channels_last: bool) -> None:
        layout = torch.channels_last if channels_last else torch.contiguous_format
        images, labels = batch
        self.net = net.train().to(memory_format=layout)
        self.optimizer = torch.optim.SGD(net.parameters(), lr=1e-3, momentum=0.9)
        self.batch = images.contiguous(memory_format=layout), labels
        self.bf16 = bf16

    def __call__(self) -> float:
        autocast = torch.autocast("cpu", torch.bfloat16) if self.bf16 else nullcontext()
        return seconds_per_step(self.net, self.optimizer, iter([self.batch]), autocast)

    def first_loss(self) -> float:
        """The loss in float32, without a step."""
        images, labels = self.batch
        with torch.random.fork_rng():
            torch.manual_seed(0)  # dropout
            logits = deepcopy(self.net)(images)
        return float(nn.functional.cross_entropy(logits, labels).detach())


def _random_batch(net: nn.Module, shape: tuple[int, ...], batch_size: int) -> Batch:
    images = torch.randn(batch_size, *shape)
    with torch.no_grad():
        num_classes = deepcopy(net).eval()(images[:1]).shape[1]
    return images, torch.randint(num_classes, (batch_size,))


def _megabytes(stock: _Steps, native: _Steps | None) -> str:
    """Memory of maps in a step with torch's operators, and in a native step."""
    images, _ = stock.batch
    autocast = torch.autocast("cpu", torch.bfloat16) if stock.bf16 else nullcontext()
    with saved_storages(stock.net) as saved, autocast:
        outputs = stock.net(images)
    del outputs  # it kept the graph alive until here
    kept = f"{sum(saved.values()) / MB:,.0f}"
    return kept if native is None else f"{kept}, {native.net.forward.bytes / MB:,.0f}"


def _check_losses(name: str, losses: dict[str, float]) -> None:
    expected = losses[TORCH]
    for found in (losses[form] for form in (OURS, NATIVE) if form in losses):
        if not abs(found - expected) <= SAME_LOSS * expected:
            raise ValueError(
                f"{name}: our kernels give the loss {found:.4f}, torch's {expected:.4f}"
            )
