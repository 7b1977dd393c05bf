"""Plan of a conversion: which convolutions of a network a Ghost module replaces, and why.

A trial run shows where the maps of a convolution go (`trial_run`). If a network cannot be run, its
modules are assumed to run in the order in which their parents register them, and the plan says so.
"""

from dataclasses import dataclass
from math import ceil

from torch import nn

from ghostexp.layers.ghost import check_cheap_kernel_size
from ghostexp.models.convolutions import Found, check_patterns, find_convolutions
from ghostexp.models.kept_convolutions import (
    Wishes,
    count_ghost_params,
    count_params,
    inner_norm_obstacle,
    no_gain,
    norm_behind,
    obstacle_seen,
    obstacles_before_running,
)
from ghostexp.models.trial_run import Trial, try_out


@dataclass(frozen=True)
class ConversionRow:
    """What becomes of one convolution, and why.

    Where the batch norm behind the convolution moves inside, both counts of parameters include it.
    """

    name: str
    replaced: bool
    reason: str
    params_before: int
    params_after: int

    def __str__(self) -> str:
        verdict = "replaced" if self.replaced else "kept"
        params = f"{self.params_before:,} -> {self.params_after:,}"
        return f"{self.name}: {verdict}, {params} params ({self.reason})"


@dataclass(frozen=True)
class Step:
    """A row of the plan, and what is needed to carry it out."""

    found: Found
    row: ConversionRow
    bias: bool = False
    norm: nn.Module | None = None  # the batch norm that moves inside
    map_size: tuple[int, int] | None = None


@dataclass(frozen=True)
class ConversionPlan:
    """What a conversion would do with `net`, which is not changed yet.

    `failure` is the error that kept the trial run from running, if there was one.
    """

    net: nn.Module
    wishes: Wishes
    steps: list[Step]
    failure: str | None

    @property
    def rows(self) -> list[ConversionRow]:
        """One row for each convolution, in the order of registration."""
        return [step.row for step in self.steps]


def make_plan(net: nn.Module, wishes: Wishes) -> ConversionPlan:
    """Check the wishes and decide on each convolution; nothing is changed."""
    _check(wishes)
    convolutions = find_convolutions(net)
    check_patterns("skip", wishes.skip, convolutions)
    check_patterns("only", wishes.only or (), convolutions)
    obstacles = obstacles_before_running(net, convolutions, wishes)
    undecided = None in obstacles.values()
    trial = try_out(net, wishes.image_size) if undecided else Trial({})
    steps = []
    for found in convolutions:
        reason = (
            obstacles[found.conv]
            or obstacle_seen(found, trial)
            or no_gain(net, found, trial, wishes)
        )
        steps.append(_kept(found, reason) if reason else _replaced(net, found, trial, wishes))
    return ConversionPlan(net, wishes, steps, trial.failure)


def _check(wishes: Wishes) -> None:
    check_cheap_kernel_size(wishes.cheap_kernel_size)
    if not isinstance(wishes.ratio, int) or wishes.ratio < 1:
        raise ValueError(f"ratio must be a whole number of at least 1, not {wishes.ratio}")


def _kept(found: Found, reason: str) -> Step:
    params = count_params(found.conv)
    return Step(found, ConversionRow(found.names[0], False, reason, params, params))


def _replaced(net: nn.Module, found: Found, trial: Trial, wishes: Wishes) -> Step:
    conv = found.conv
    norm = norm_behind(found, trial)
    bias = conv.bias is not None and norm is None
    notes = [f"dense {conv.kernel_size[0]}x{conv.kernel_size[1]}"]
    guessed = ", by order of registration" if trial.failure is not None else ""
    if conv.bias is not None:
        notes.append("bias kept" if bias else f"bias dropped, a batch norm follows{guessed}")
    moved = None
    if wishes.inner_norm:
        obstacle = inner_norm_obstacle(net, found, norm, trial.flows.get(conv))
        if obstacle is None:
            moved = norm
        notes.append(
            f"batch norm moved inside{guessed}"
            if obstacle is None
            else f"no inner norm, {obstacle}"
        )
    before, after = count_params(conv), count_ghost_params(conv, wishes, bias)
    if moved is not None:
        halves = ceil(conv.out_channels / wishes.ratio) * wishes.ratio
        before += count_params(moved)
        after += count_params(moved) // conv.out_channels * halves
    row = ConversionRow(found.names[0], True, "; ".join(notes), before, after)
    flow = trial.flows.get(conv)
    return Step(found, row, bias, moved, None if flow is None else flow.largest)
