"""What the framework adds to a training step, and how fast batches come: `ghostexp benchmark`."""

from collections.abc import Iterator
from contextlib import nullcontext

import torch
from omegaconf import DictConfig
from rich.table import Table

from ghostexp.analysis.benchmark import (
    Batch,
    Timing,
    interleave,
    seconds_per_batch,
    seconds_per_step,
)
from ghostexp.config.build import Parts, build_parts
from ghostexp.data.draws import Place
from ghostexp.runs.machine import describe_device
from ghostexp.training.callbacks import Throughput


def time_loops(cfg: DictConfig, rounds: int) -> Table:
    """A training step of the bare loop and of ours, with every callback and logger of `cfg`."""
    parts = _parts(cfg)
    timings = interleave(
        {"bare PyTorch loop": lambda: _bare(cfg), "ours": lambda: _ours(cfg)}, rounds=rounds
    )
    bare, ours = (timing.median for timing in timings)
    table = result_table("Training, per step", parts)
    for timing in timings:
        table.add_row(timing.name, f"{timing.median * 1e3:.3f} ms", timing.spread + " ms")
    table.add_row("added by ours", f"{(ours - bare) * 1e3:.3f} ms", "")
    return table


def time_batches(cfg: DictConfig, rounds: int) -> Table:
    """Augmented training batches from memory on one thread."""
    torch.set_num_threads(1)
    parts = _parts(cfg)
    datamodule = parts.datamodule
    batch_size = datamodule.batch_size
    candidates = {
        "gather only": lambda: seconds_per_batch(datamodule.train_dataloader()),
        "gather, augment, normalise": lambda: seconds_per_batch(_augmented(parts)),
    }
    table = result_table(f"Batches of {batch_size}, one thread", parts)
    for timing in interleave(candidates, rounds=rounds):
        table.add_row(timing.name, f"{batch_size / timing.median:,.0f} images/s", _rates(timing))
    return table


def result_table(title: str, parts: Parts) -> Table:
    """A table of timings, which says on what they were measured."""
    machine = f"{describe_device(parts.trainer)}, torch {torch.__version__}"
    return Table("", "median", "fastest-slowest", title=title, caption=machine)


def _bare(cfg: DictConfig) -> float:
    parts = _parts(cfg)
    task, precision = parts.task, parts.trainer.precision
    optimizer = task.optimizer(task.net.parameters())
    autocast = torch.autocast("cpu", torch.bfloat16) if "bf16" in str(precision) else nullcontext()
    for _ in range(2):  # the first epoch warms up, as our loop has it
        seconds = seconds_per_step(task.net, optimizer, _augmented(parts), autocast)
    return seconds


def _ours(cfg: DictConfig) -> float:
    parts = _parts(cfg)
    parts.trainer.fit(parts.task, datamodule=parts.datamodule)
    (throughput,) = (c for c in parts.trainer.callbacks if isinstance(c, Throughput))
    return parts.datamodule.batch_size / throughput.rates[-1]


def _parts(cfg: DictConfig) -> Parts:
    parts = build_parts(cfg)
    parts.datamodule.setup("fit")
    return parts


def _augmented(parts: Parts) -> Iterator[Batch]:
    augment = parts.datamodule.augment
    for batch, (images, labels) in enumerate(parts.datamodule.train_dataloader()):
        yield augment.train(images, labels, Place(0, batch=batch))


def _rates(timing: Timing) -> str:
    batches = [1 / seconds for seconds in timing.seconds]
    return f"{min(batches):,.0f}-{max(batches):,.0f} batches/s"
