"""Time what this framework adds: its training loop to a bare one, its batches, on this machine.

python scripts/benchmark.py train [overrides]   our loop with all its logging against a bare loop
python scripts/benchmark.py data [overrides]    batches from memory: gather, crop, flip, normalise

Overrides are those of train.py; without any, `train` takes a linear model and batches of four
digits, so that a step is short and what the loop adds is seen.
"""

import argparse
import sys
import tempfile
from collections.abc import Iterator
from contextlib import nullcontext

import torch
from omegaconf import DictConfig, OmegaConf
from rich.console import Console
from rich.table import Table

from ghostexp.analysis.benchmark import Batch, Timing, interleave, seconds_a_batch, seconds_a_step
from ghostexp.build import Parts, build_parts
from ghostexp.callbacks import Throughput
from ghostexp.cli import UserError, compose_config
from ghostexp.experiment import describe_device

DEFAULTS = {
    "train": ["model=linear", "dataset=digits", "dataset.batch_size=4", "trainer.max_epochs=2"],
    "data": ["dataset=digits", "dataset.batch_size=128", "dataset.augment.flip=true"],
}


def main() -> int:
    """Exit code: 1 with one sentence for a user's slip, else 0."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("what", choices=list(DEFAULTS))
    parser.add_argument("overrides", nargs="*", help="as for train.py")
    parser.add_argument("--rounds", type=int, default=7, help="counted rounds, after one warm-up")
    options = parser.parse_args()
    try:
        cfg = compose_config([*DEFAULTS[options.what], *options.overrides])
        with tempfile.TemporaryDirectory() as folder:
            OmegaConf.update(cfg, "run_dir", folder)
            measure = time_loops if options.what == "train" else time_batches
            measure(cfg, options.rounds)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


def time_loops(cfg: DictConfig, rounds: int) -> None:
    """A training step of the bare loop and of ours, with every callback and logger of `cfg`."""
    parts = _parts(cfg)
    timings = interleave(
        {"bare PyTorch loop": lambda: _bare(cfg), "ours": lambda: _ours(cfg)}, rounds=rounds
    )
    bare, ours = (timing.median for timing in timings)
    table = _table("Training, a step", parts)
    for timing in timings:
        table.add_row(timing.name, f"{timing.median * 1e3:.3f} ms", timing.spread + " ms")
    table.add_row("added by ours", f"{(ours - bare) * 1e3:.3f} ms", "")
    Console().print(table)


def time_batches(cfg: DictConfig, rounds: int) -> None:
    """Augmented training batches from memory on one thread."""
    torch.set_num_threads(1)
    parts = _parts(cfg)
    datamodule = parts.datamodule
    batch_size = datamodule.batch_size
    candidates = {
        "gather only": lambda: seconds_a_batch(datamodule.train_dataloader()),
        "gather, augment, normalise": lambda: seconds_a_batch(_augmented(parts)),
    }
    table = _table(f"Batches of {batch_size}, one thread", parts)
    for timing in interleave(candidates, rounds=rounds):
        table.add_row(timing.name, f"{batch_size / timing.median:,.0f} images/s", _rates(timing))
    Console().print(table)


def _bare(cfg: DictConfig) -> float:
    parts = _parts(cfg)
    task, precision = parts.task, parts.trainer.precision
    optimizer = task.optimizer(task.net.parameters())
    autocast = torch.autocast("cpu", torch.bfloat16) if "bf16" in str(precision) else nullcontext()
    seconds_a_step(task.net, optimizer, _augmented(parts), autocast)  # warm-up, as ours: an epoch
    return seconds_a_step(task.net, optimizer, _augmented(parts), autocast)


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
    augment, generator = parts.datamodule.augment, torch.Generator().manual_seed(0)
    for images, labels in parts.datamodule.train_dataloader():
        yield augment.train(images, labels, generator)


def _table(title: str, parts: Parts) -> Table:
    circumstances = f"{describe_device(parts.trainer)}, torch {torch.__version__}"
    table = Table("", "median", "fastest-slowest", title=title, caption=circumstances)
    return table


def _rates(timing: Timing) -> str:
    batches = [1 / seconds for seconds in timing.seconds]
    return f"{min(batches):,.0f}-{max(batches):,.0f} batches/s"


if __name__ == "__main__":
    sys.exit(main())
