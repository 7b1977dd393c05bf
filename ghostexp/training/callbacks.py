"""What Lightning's callbacks lack: seeded epochs, throughput, margins, pictures, atomic files."""

import csv
import logging
import os
import random
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
import pytorch_lightning as pl
import torch
from matplotlib.figure import Figure
from pytorch_lightning.callbacks import RichProgressBar
from pytorch_lightning.loggers import TensorBoardLogger
from pytorch_lightning.plugins.io import TorchCheckpointIO
from torch import Tensor, nn
from torchvision.utils import make_grid

log = logging.getLogger(__name__)

GRID_IMAGES = 64
MAX_CELLS_WITH_NUMBERS = 20


@runtime_checkable
class Checks(Protocol):
    """A callback that says, before any data loads, what in a training it cannot work with."""

    def check(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        datamodule: pl.LightningDataModule,
    ) -> None:
        """ValueError with one sentence where the training is none for this callback."""


class SeedEpochs(pl.Callback):
    """Seeds every generator at each epoch's start from (seed, epoch, rank) alone.

    Whatever draws from a global generator (dropout, stochastic depth) therefore does the same in a
    resumed run as in an undisturbed one, with no generator state in the checkpoint.
    """

    def __init__(self, seed: int) -> None:
        self.seed = seed

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        entropy = [self.seed, trainer.current_epoch, trainer.global_rank]
        state = int(np.random.SeedSequence(entropy).generate_state(1)[0])
        random.seed(state)
        np.random.seed(state)
        torch.manual_seed(state)


class Throughput(pl.Callback):
    """Training images a second: median over the epochs of this process, validation left out."""

    def __init__(self) -> None:
        self.rates: list[float] = []
        self.images = 0
        self.started = self.last_step = 0.0

    @property
    def images_per_s(self) -> float | None:
        """Median rate of the epochs so far, over all devices; None before the first has ended."""
        return float(np.median(self.rates)) if self.rates else None

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self.images = 0
        self.started = time.perf_counter()

    def on_train_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: Any,
        batch: tuple[Tensor, Tensor],
        batch_idx: int,
    ) -> None:
        self.images += len(batch[0])
        self.last_step = time.perf_counter()

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if self.images:
            seconds = self.last_step - self.started
            self.rates.append(self.images * trainer.world_size / seconds)
            # without a reduction, which would hang: the progress bar of rank 0 asks for the value
            # before the other ranks do; `sync_dist` only keeps Lightning from warning of that
            rate = self.rates[-1]
            pl_module.log("train/images_per_s", rate, rank_zero_only=True, sync_dist=True)


class SaveInterrupted(pl.Callback):
    """Saves the weights as they are when a fit ends by Ctrl-C, SIGTERM or an error.

    They are for looking at: a resumed run goes on from `last.ckpt`, at an epoch's end, because
    only from there its final weights are those of an undisturbed run. Of several processes nothing
    is saved, because it takes all of them at once, and SIGTERM is a Ctrl-C: Lightning's handler
    broadcasts amid whatever the others exchange, and hangs.
    """

    def __init__(self, path: str) -> None:
        self.path = path

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if trainer.world_size > 1:  # Lightning puts the earlier handler back after the fit
            signal.signal(signal.SIGTERM, signal.default_int_handler)

    def on_exception(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException
    ) -> None:
        alone = trainer.world_size == 1
        if alone and trainer.state.fn == "fit" and trainer.global_step > 0:
            trainer.save_checkpoint(self.path)


class MarginWarmup(pl.Callback):
    """Raises the margin of the task's loss linearly from 0, to be `margin` from epoch `epochs` on.

    It depends on the epoch alone, so a resumed run has that of an undisturbed one.
    """

    def __init__(self, *, margin: float, epochs: int) -> None:
        if not isinstance(epochs, int) or epochs < 1:
            raise ValueError(
                f"epochs, in which the margin rises, is a whole number of at least 1, not {epochs}"
            )
        self.margin = margin
        self.epochs = epochs

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        pl_module.loss.margin = self.margin * min(1.0, trainer.current_epoch / self.epochs)


class ChangeNetwork(pl.Callback):
    """Calls `change(net)`, which alters the task's network in place, before a fit."""

    def __init__(self, change: Callable[[nn.Module], nn.Module]) -> None:
        self.change = change

    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        if stage == "fit":
            self.change(pl_module.net)


class Progress(RichProgressBar):
    """Rich progress bar without Lightning's version number, which says nothing here."""

    def get_metrics(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule
    ) -> dict[str, int | str | float | dict[str, float]]:
        metrics = super().get_metrics(trainer, pl_module)
        metrics.pop("v_num", None)
        return metrics


class EpochLog(pl.Callback):
    """A line an epoch into the run's log where no progress bar is seen."""

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if trainer.current_epoch > 0:  # of the epoch before: its last metrics come after its end
            self._log(trainer, trainer.current_epoch)

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._log(trainer, trainer.current_epoch)

    def _log(self, trainer: pl.Trainer, epochs: int) -> None:
        if trainer.is_global_zero and not sys.stdout.isatty():
            metrics = sorted(trainer.callback_metrics.items())
            values = ", ".join(f"{key} {value:.4g}" for key, value in metrics if "step" not in key)
            log.info("epoch %d of %d: %s", epochs, trainer.max_epochs, values)


class Pictures(pl.Callback):
    """Augmented training images at the start, the confusion matrix after the test, to TensorBoard.

    The confusion matrix is also written to the run's folder, as picture and as numbers.
    """

    def __init__(self, directory: str) -> None:
        self.directory = Path(directory)

    def on_train_batch_start(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        batch: tuple[Tensor, Tensor],
        batch_idx: int,
    ) -> None:
        if batch_idx == 0 and trainer.current_epoch == 0:
            images = trainer.datamodule.augment.picture(batch[0][:GRID_IMAGES])
            grid = make_grid(images, nrow=8)
            for logger in _tensorboards(trainer):
                logger.experiment.add_image("train/augmented_images", grid, 0)

    def on_test_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        confusion = pl_module.test_confusion.compute()  # on all ranks: it reduces
        if not trainer.is_global_zero:
            return
        names = trainer.datamodule.class_names
        figure = confusion_figure(confusion.cpu().numpy(), names)
        for logger in _tensorboards(trainer):
            logger.experiment.add_figure("test/confusion", figure, trainer.current_epoch)
        figure.savefig(self.directory / "confusion.png", dpi=120)
        write_confusion(self.directory / "confusion.csv", confusion, names)


class AtomicCheckpointIO(TorchCheckpointIO):
    """Writes a checkpoint beside its place and moves it there: a full disk leaves the old one."""

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: str, storage_options: Any = None
    ) -> None:
        target = Path(path)
        target.parent.mkdir(parents=True, exist_ok=True)
        temporary = target.with_name(f".{target.name}.{os.getpid()}")
        try:
            with temporary.open("wb") as file:
                torch.save(checkpoint, file)
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, target)
        finally:
            temporary.unlink(missing_ok=True)


def confusion_figure(confusion: np.ndarray, names: list[str]) -> Figure:
    """Picture of a confusion matrix [true, predicted], rows as shares of the true class."""
    shares = confusion / confusion.sum(axis=1, keepdims=True).clip(min=1)
    size = 3 + 0.4 * min(len(names), 40)
    figure = Figure(figsize=(size + 0.8, size), layout="constrained")
    axes = figure.add_subplot()
    image = axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    figure.colorbar(image, ax=axes, label="share of the true class", shrink=0.8)
    axes.set(xlabel="predicted", ylabel="true")
    if len(names) <= MAX_CELLS_WITH_NUMBERS:
        axes.set_xticks(range(len(names)), names, rotation=45, ha="right")
        axes.set_yticks(range(len(names)), names)
        for (row, column), count in np.ndenumerate(confusion):
            if count:
                color = "white" if shares[row, column] > 0.5 else "black"
                axes.text(column, row, count, ha="center", va="center", color=color, fontsize=8)
    return figure


def write_confusion(path: Path, confusion: Tensor, names: list[str]) -> None:
    """Confusion matrix as CSV: a row a true class, its accuracy last."""
    rows = [["true", *names, "accuracy"]]
    for index, (name, counts) in enumerate(zip(names, confusion.tolist(), strict=True)):
        accuracy = counts[index] / max(1, sum(counts))
        rows.append([name, *counts, f"{accuracy:.4f}"])
    with path.open("w", newline="") as file:
        csv.writer(file).writerows(rows)


def _tensorboards(trainer: pl.Trainer) -> list[TensorBoardLogger]:
    return [logger for logger in trainer.loggers if isinstance(logger, TensorBoardLogger)]
