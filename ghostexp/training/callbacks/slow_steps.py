"""A word when other processes slow the training down."""

import logging
import time
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch

log = logging.getLogger(__name__)

SCHEDSTAT = Path("/proc/thread-self/schedstat")  # ns on a CPU, ns waiting for one, time slices
WARM_UP = 3  # steps of a launch that allocate and compile
WINDOW = 10.0  # seconds of steps that are judged together
WAITED = 0.35  # share of the time; beside one busy process or a second training it is 0.5


class SlowSteps(pl.Callback):
    """Says once that threads wait for CPUs which other processes use, and what helps.

    The threads of a step wait for each other after every layer, so each of them stands still while
    one has no CPU. Two threads beside one busy process on two CPUs were 2 to 10 times slower than
    alone: the worst case is both threads on one CPU, where each uses its turn to wait. Linux
    counts for every thread how long it was ready to run and had no CPU. That time holds no
    validation, no loading of data and no compiler; other systems do not tell it, and nothing is
    said there.
    """

    def __init__(self) -> None:
        self.steps = 0
        self.waited = self.seconds = 0.0
        self.started = (0.0, 0.0)
        self.said = False

    def on_train_batch_start(self, *_: Any) -> None:
        self.started = (time.perf_counter(), seconds_without_cpu())

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, *_: Any
    ) -> None:
        self.steps += 1
        if self.said or self.steps <= WARM_UP or pl_module.device.type != "cpu":
            return
        self.seconds += time.perf_counter() - self.started[0]
        self.waited += seconds_without_cpu() - self.started[1]
        if self.seconds >= WINDOW:
            self._judge()
            self.waited = self.seconds = 0.0

    def _judge(self) -> None:
        share, threads = self.waited / self.seconds, torch.get_num_threads()
        if threads > 1 and share >= WAITED:
            log.warning(
                "other programs, or this run's readers of files, use the CPUs: a thread of this"
                " run had no CPU for %.0f %% of the time, and each of the %d threads waits for the"
                " slowest. A step can take up to ten times as long as on a free machine."
                " OMP_NUM_THREADS=1 in front of the command is faster beside other work",
                100 * share,
                threads,
            )
            self.said = True


def seconds_without_cpu() -> float:
    """Seconds for which this thread was ready to run and had no CPU; 0 where nobody counts them."""
    try:
        return int(SCHEDSTAT.read_text().split()[1]) / 1e9
    except (OSError, IndexError):
        return 0.0
