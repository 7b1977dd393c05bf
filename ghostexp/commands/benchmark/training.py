"""Benchmarks of the training: our loop, its batches, and steps by our kernels."""

import argparse
from collections.abc import Callable

from omegaconf import DictConfig
from rich.table import Table

from ghostexp.commands.benchmark.options import (
    BATCH_SIZES,
    CIFAR,
    add_models,
    add_out,
    add_overrides,
    composed,
    console,
    new_parser,
    write_out,
)
from ghostexp.config.mistakes import users_mistakes
from ghostexp.config.options import check_out
from ghostexp.config.printer import Printer
from ghostexp.results.latency_file import document
from ghostexp.results.record import command_line
from ghostexp.results.step_table import write_steps
from ghostexp.runs.inference import circumstances, default_models, subjects_of_models
from ghostexp.runs.loop_times import time_batches, time_loops
from ghostexp.runs.machine import allowed_cores
from ghostexp.runs.step_times import time_training

SHORT_STEP = ["model=linear", "dataset=digits", "dataset.batch_size=4", "trainer.max_epochs=2"]
DIGITS = ["dataset=digits", "dataset.batch_size=128", "dataset.augment.flip=true"]

TimeOf = Callable[[DictConfig, int], Table]


def train(arguments: list[str]) -> None:
    """Our training loop, with all its logging, beside a bare loop of PyTorch."""
    parser = new_parser(
        "train",
        "Time a training step of our loop, with all its logging, against a bare loop of PyTorch. "
        "The default step is short, so that you see what our loop adds.",
    )
    _print_timing(parser, arguments, SHORT_STEP, time_loops)


def data(arguments: list[str]) -> None:
    """Batches from memory, on one thread."""
    parser = new_parser(
        "data", "Time batches from memory on one thread: gather, crop, flip and normalise."
    )
    _print_timing(parser, arguments, DIGITS, time_batches)


def steps(arguments: list[str]) -> None:
    """Training steps of networks with torch's operators and with ours."""
    parser = new_parser(
        "steps",
        "Time training steps on the CPU with torch's operators, callbacks=fast and =native. "
        "The steps are in float32, and in bfloat16 too if the CPU computes in it; the override "
        "trainer.precision chooses one of them. Which layers callbacks=fast lets our kernels "
        "compute is measured anew, for later trainings too.",
    )
    add_overrides(parser, CIFAR)
    add_models(parser, batches=str(BATCH_SIZES[0]), threads="one for each core")
    add_out(parser)
    options = parser.parse_intermixed_args(arguments)
    check_out(options.out)
    overrides = [*CIFAR, *options.overrides]
    screen, gains, rows = console(), [], []
    with users_mistakes("steps"):
        for table, gain, measured in time_training(
            subjects_of_models(options.models or default_models(), overrides),
            overrides=options.overrides,
            threads=options.threads or [allowed_cores()],
            batch_sizes=options.batch or BATCH_SIZES[:1],
            rounds=options.rounds,
        ):
            table.caption = circumstances(options.rounds)
            screen.print(table)
            gains.append(gain)
            rows += measured
    print(*gains, sep="\n")
    everything = document(rows, circumstances(options.rounds), command_line())
    write_out(write_steps, everything, options.out)


def _print_timing(
    parser: argparse.ArgumentParser, arguments: list[str], defaults: list[str], time: TimeOf
) -> None:
    """Print the table that `time` makes of the config and of the number of rounds."""
    add_overrides(parser, defaults)
    options = parser.parse_intermixed_args(arguments)
    with composed([*defaults, *options.overrides]) as cfg:
        Printer().print(time(cfg, options.rounds))
