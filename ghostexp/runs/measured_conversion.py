"""Which convolutions of a network are faster as Ghost modules in an engine, by measurement.

Every convolution is timed as it is and as a Ghost module of each ratio, in turn. The fastest form
is chosen if it is clearly faster than the convolution. Then the whole network is timed. The sum of
the layers is only a prediction: engines merge layers across borders that a single layer does not
have. If the converted network is not clearly faster, the layers that save least are given back,
half of them at a time, until it is, or until no layer is left.
"""

import logging
from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass, replace

import torch
from torch import nn

from ghostexp.analysis.benchmark import Timing, interleave, repeated
from ghostexp.deploy.forms import FORMS, Call, Deployable, Subject
from ghostexp.models.convert import convert_to_ghost
from ghostexp.runs.layer_units import Kind, Shape, find_kinds

log = logging.getLogger(__name__)

CPU = torch.device("cpu")
LOST = 8  # clearly faster is what loses at most one round of so many


@dataclass(frozen=True)
class Setting:
    """How times are taken: a form of deployment of FORMS, a batch, threads and counted rounds."""

    form: str
    batch_size: int
    threads: int
    rounds: int

    def call(self, net: nn.Module, input_shape: Shape) -> Call:
        """`net` in this form as a call without arguments, tried once."""
        deployable = Deployable(Subject("net", net, input_shape, reference="net"))
        build, _ = FORMS[self.form]
        call = build(deployable, deployable.images(self.batch_size), self.threads)
        call()
        return call

    def time(self, calls: dict[str, Call]) -> dict[str, Timing]:
        """Seconds of each call, taken in turn."""
        candidates = {name: repeated(call, CPU) for name, call in calls.items()}
        timings = interleave(candidates, rounds=self.rounds)
        return {timing.name: timing for timing in timings}


@dataclass(frozen=True)
class Choice:
    """The times of one kind of convolution by ratio, 1 for the convolution, and what was chosen.

    `ratio` 1 is a convolution that stays; `note` says why. Times are times of one layer.
    """

    kind: Kind
    timings: dict[int, Timing]
    ratio: int
    note: str = ""

    @property
    def saved(self) -> float:
        """Seconds that all layers of this kind save together with the chosen ratio."""
        return len(self.kind.names) * self.saved_by(self.ratio)

    def saved_by(self, ratio: int) -> float:
        """Seconds that one layer saves with a ratio; below 0 where it is slower."""
        return self.timings[1].median - self.timings[ratio].median


@dataclass(frozen=True)
class Conversion:
    """What was chosen, and the times of the whole network: dense, dense once more, converted.

    The second time of the dense network shows the noise. Without a chosen layer the converted
    network is the dense one.
    """

    choices: list[Choice]
    dense: Timing
    again: Timing
    converted: Timing
    tried: int  # how many converted networks were timed

    @property
    def ratios(self) -> dict[str, int]:
        """The chosen ratio of each convolution that is converted."""
        return chosen_ratios(self.choices)

    @property
    def predicted(self) -> float:
        """Seconds of the converted network as the sum of the layers predicts them."""
        return self.dense.median - sum(choice.saved for choice in self.choices)

    @property
    def speedup(self) -> float:
        """How many times as fast as the dense network the converted network is."""
        return self.dense.median / self.converted.median


@torch.no_grad()
def convert_by_measurement(
    net: nn.Module,
    input_shape: tuple[int, int, int],
    setting: Setting,
    *,
    ratios: Sequence[int] = (2,),
    cheap_kernel_size: int = 3,
    skip: Sequence[str] = (),
) -> Conversion:
    """Measure, choose and check; `net` stays as it is, and `converted` builds the network.

    ValueError if no convolution can be converted, or if the engine cannot compute the network.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(setting.threads)
    try:
        kinds = find_kinds(
            net, input_shape, ratios=ratios, cheap_kernel_size=cheap_kernel_size, skip=skip
        )
        dense = _call(net, input_shape, setting)
        choices = []
        for number, kind in enumerate(kinds, start=1):
            choices.append(_choose(kind, setting, cheap_kernel_size))
            log.info("%d of %d: %s", number, len(kinds), describe(choices[-1]))
        return _check(net, input_shape, setting, choices, dense, cheap_kernel_size)
    finally:
        torch.set_num_threads(before)


def converted(net: nn.Module, ratios: dict[str, int], cheap_kernel_size: int = 3) -> nn.Module:
    """A copy of `net` with a Ghost module of the given ratio for each named convolution."""
    copy = deepcopy(net)
    for ratio in sorted(set(ratios.values())):
        names = [name for name, wanted in ratios.items() if wanted == ratio]
        copy = convert_to_ghost(copy, ratio, cheap_kernel_size, only=names)
    return copy


def chosen_ratios(choices: Sequence[Choice]) -> dict[str, int]:
    """The ratio of each convolution that becomes a Ghost module, by name."""
    return {
        name: choice.ratio for choice in choices if choice.ratio > 1 for name in choice.kind.names
    }


def is_clearly_faster(timing: Timing, other: Timing) -> bool:
    """Whether `timing` is below `other` in its median and in all rounds but one of eight."""
    lost = sum(share >= 1 for share in timing.ratios(other))
    return timing.median < other.median and lost <= len(timing.seconds) // LOST


def describe(choice: Choice) -> str:
    """One line on what was measured of one kind of convolution."""
    others = f" and {len(choice.kind.names) - 1} more" if choice.kind.names[1:] else ""
    times = ", ".join(
        f"{'dense' if ratio == 1 else f's={ratio}'} {timing.median * 1e3:.3f} ms"
        for ratio, timing in choice.timings.items()
    )
    verdict = f"s={choice.ratio}" if choice.ratio > 1 else f"stays dense, {choice.note}"
    return f"{choice.kind.names[0]}{others}: {times or 'no time'}: {verdict}"


def _call(net: nn.Module, input_shape: Shape, setting: Setting) -> Call:
    try:
        return setting.call(net, input_shape)
    except RuntimeError as error:  # of torch's exporter or of an engine
        reason = str(error).strip().partition("\n")[0]
        raise ValueError(f"{setting.form} cannot compute this network: {reason}") from error


def _choose(kind: Kind, setting: Setting, cheap_kernel_size: int) -> Choice:
    """Time a kind of convolution in all its forms and choose the fastest."""
    calls: dict[str, Call] = {}
    try:
        for ratio in (1, *kind.ratios):
            unit = kind.unit(ratio, cheap_kernel_size)
            calls[str(ratio)] = setting.call(unit, kind.in_shape)
    except (ValueError, RuntimeError) as error:  # an engine that lacks a layer
        reason = str(error).strip().partition("\n")[0]
        return Choice(kind, {}, ratio=1, note=f"{setting.form} does not take it alone: {reason}")
    timings = {int(ratio): timing for ratio, timing in setting.time(calls).items()}
    faster = [ratio for ratio in kind.ratios if is_clearly_faster(timings[ratio], timings[1])]
    if not faster:
        return Choice(kind, timings, ratio=1, note="no Ghost module was clearly faster")
    return Choice(kind, timings, min(faster, key=lambda ratio: timings[ratio].median))


def _check(
    net: nn.Module,
    input_shape: Shape,
    setting: Setting,
    choices: list[Choice],
    dense: Call,
    cheap_kernel_size: int,
) -> Conversion:
    """Time the whole network, and give layers back until it is clearly faster."""
    calls, tried = {"dense": dense, "again": dense}, 0
    while ratios := chosen_ratios(choices):
        tried += 1
        network = converted(net, ratios, cheap_kernel_size)
        calls["converted"] = _call(network, input_shape, setting)
        found = Conversion(choices, **setting.time(calls), tried=tried)
        if is_clearly_faster(found.converted, found.dense):
            return found
        log.info("not clearly faster: %.2f times as fast", found.speedup)
        choices = _fewer(choices)
    calls["converted"] = dense
    return Conversion(choices, **setting.time(calls), tried=tried)


def _fewer(choices: list[Choice]) -> list[Choice]:
    """The choices without the half of the chosen kinds that saves least."""
    chosen = sorted((choice for choice in choices if choice.ratio > 1), key=lambda c: -c.saved)
    kept = chosen[: len(chosen) // 2]
    note = "given back, because the whole network was not clearly faster"
    return [
        choice if choice.ratio == 1 or choice in kept else replace(choice, ratio=1, note=note)
        for choice in choices
    ]
