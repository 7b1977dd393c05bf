"""What `ghostexp benchmark steps` prints: training steps with torch's operators and with ours."""

from collections.abc import Iterator, Mapping, Sequence
from statistics import median
from typing import Any

import torch
from rich.table import Table

from ghostexp.analysis.step_latency import (
    NATIVE,
    NCHW,
    OURS,
    TORCH,
    StepTiming,
    steps_table,
    time_steps,
)
from ghostexp.config.cli import compose_config
from ghostexp.config.precision import AUTO, FLOAT32, resolve_precision
from ghostexp.deploy.forms import Subject
from ghostexp.kernels.decisions import forget_measurements
from ghostexp.results.wording import counted

PRECISION = "trainer.precision"


def precisions(overrides: Sequence[str]) -> list[str]:
    """The precision in the overrides, else float32 and what `auto` is on the CPU."""
    trainer = compose_config([each for each in overrides if each.startswith("trainer")]).trainer
    chosen = resolve_precision(str(trainer.precision), "cpu")
    return [chosen] if str(trainer.precision) != AUTO else list(dict.fromkeys([FLOAT32, chosen]))


def time_training(
    subjects: Sequence[Subject],
    *,
    overrides: Sequence[str],
    threads: Sequence[int],
    batch_sizes: Sequence[int],
    rounds: int,
) -> Iterator[tuple[Table, str, list[dict[str, Any]]]]:
    """For each number of threads, batch size and precision: table, smallest gain and all rounds.

    Which layers our kernels compute is measured anew, for the runs that follow as well.
    """
    forget_measurements()
    nets = {subject.name: (subject.net, subject.input_shape) for subject in subjects}
    references = {subject.name: subject.reference for subject in subjects}
    before = torch.get_num_threads()
    try:
        for count in threads:
            torch.set_num_threads(count)
            for batch_size in batch_sizes:
                for precision in precisions(overrides):
                    bf16 = "bf16" in precision
                    timings = time_steps(nets, batch_size=batch_size, rounds=rounds, bf16=bf16)
                    used = counted(count, "thread")
                    title = f"training steps, batch {batch_size}, {used}, {precision}"
                    table = steps_table(timings, references)
                    table.title = title
                    rows = as_rows(timings, references, title)
                    yield table, f"{title}: {smallest_gain(timings)}", rows
    finally:
        torch.set_num_threads(before)


def as_rows(
    timings: Sequence[StepTiming], references: Mapping[str, str], setting: str
) -> list[dict[str, Any]]:
    """Every network in every form, with the seconds of each round, as plain data."""
    rows = []
    for each in timings:
        forms = {NCHW: each.nchw, TORCH: each.torch, OURS: each.ours, NATIVE: each.native}
        for form, timing in forms.items():
            if timing is None:
                continue
            row = {"setting": setting, "network": each.name, "reference": references[each.name]}
            row |= {"form": form, "batch_size": each.batch_size, "seconds": timing.seconds}
            rows.append(row | {"megabytes": each.megabytes})
    return rows


def smallest_gain(timings: Sequence[StepTiming]) -> str:
    """The network that gains least by our kernels, in words."""
    least = min(timings, key=lambda timing: timing.gain)
    said = f"{OURS} is at least {least.gain:.2f} times as fast as torch ({least.name})"
    gains = {each.name: median(each.native_gains) for each in timings if each.native is not None}
    if not gains:
        return said
    name = min(gains, key=gains.__getitem__)
    return (
        f"{said}, and {NATIVE} at least {gains[name]:.2f} times as fast as the fastest other form"
        f" ({name})"
    )
