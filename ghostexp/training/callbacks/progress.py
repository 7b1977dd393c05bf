"""The progress bar."""

import logging
import sys
import time
from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.callbacks import ProgressBar
from rich import get_console
from rich.progress import BarColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bar
from rich.table import Column

REFRESH = 0.25  # seconds


class Progress(ProgressBar):
    """One line at a terminal: epoch, loss and accuracy, and then as much of a bar as has room.

    Lightning's bars put the metrics last, where 80 columns cut them off, and count epochs from 0.
    While the bar is seen, lines of the log appear above it. Nothing is shown where the output is
    no terminal.
    """

    def __init__(self) -> None:
        super().__init__()
        self.enabled = True
        self.bar: Bar | None = None
        self.shown = 0.0
        self.streams: dict[logging.StreamHandler, Any] = {}

    def disable(self) -> None:
        self.enabled = False

    def enable(self) -> None:
        self.enabled = True

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._start()

    def on_test_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._start()

    def on_train_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
    ) -> None:
        self._show(self._epoch(), batch_idx + 1, trainer.num_training_batches)

    def on_validation_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        self._show(f"{self._epoch()} val", batch_idx + 1, trainer.num_val_batches[dataloader_idx])

    def on_test_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        self._show("test", batch_idx + 1, trainer.num_test_batches[dataloader_idx])

    def on_exception(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException
    ) -> None:
        self._stop()

    def teardown(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        self._stop()

    def _epoch(self) -> str:
        return f"epoch {self.trainer.current_epoch + 1}/{self.trainer.max_epochs}"

    def _start(self) -> None:
        console = get_console()
        if self.bar is not None or not self.enabled or not console.is_terminal:
            return
        whole = Column(no_wrap=True)
        self.bar = Bar(
            TextColumn("{task.description}", table_column=whole),
            TextColumn("{task.fields[metrics]}", table_column=whole),
            TextColumn("{task.fields[batches]}", table_column=whole),
            TimeRemainingColumn(table_column=whole),
            BarColumn(bar_width=None),
            console=console,
            transient=True,
            refresh_per_second=1 / REFRESH,
        )
        self.bar.add_task("", metrics="", batches="")
        screen = (sys.stdout, sys.stderr)
        self.bar.start()  # from here on sys.stdout writes above the bar
        for handler in logging.root.handlers:
            if isinstance(handler, logging.StreamHandler) and handler.stream in screen:
                self.streams[handler] = handler.setStream(sys.stdout)

    def _show(self, what: str, done: int, total: float) -> None:
        now = time.monotonic()
        if self.bar is None or (now - self.shown < REFRESH and done < total):
            return
        self.shown = now
        (task,) = self.bar.tasks
        if done < task.completed or task.total != total:
            self.bar.reset(task.id)
        known = total if total != float("inf") else None
        self.bar.update(
            task.id,
            description=what,
            completed=done,
            total=known,
            metrics=metrics_text(self.trainer),
            batches=f"{done}/{known:.0f}" if known else str(done),
        )

    def _stop(self) -> None:
        if self.bar is None:
            return
        for handler, stream in self.streams.items():
            handler.setStream(stream)
        self.streams.clear()
        self.bar.stop()
        self.bar = None


def metrics_text(trainer: pl.Trainer) -> str:
    """`loss 1.234 acc 45.6% val 44.1%`: this epoch's so far, and the last validation's."""
    known = trainer.callback_metrics
    words = []
    sums = getattr(trainer.lightning_module, "train_sums", None)  # loss, correct, images
    loss, correct, images = sums.tolist() if sums is not None else (0.0, 0.0, 0.0)
    if images:
        words.append(f"loss {loss / images:.3f} acc {correct / images:.1%}")
    elif "train/loss_step" in known:
        words.append(f"loss {float(known['train/loss_step']):.3f}")
    words += [f"val {float(known[n]):.1%}" for n in ("val/acc", "val/map") if n in known]
    return " ".join(words)
