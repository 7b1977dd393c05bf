"""One line per epoch."""

import logging

import pytorch_lightning as pl
from pytorch_lightning.callbacks import Checkpoint
from torch import Tensor

from ghostexp.training.callbacks.learning_rate import NAME as LEARNING_RATE

log = logging.getLogger(__name__)

HEADLINES = ("loss", "acc", "map")
SAID_ELSEWHERE = {"loss_step", "images_per_s", "lr", "lr_smallest"}
SHARES = ("acc", "map")  # metrics that a person reads in per cent


class EpochLog(Checkpoint):
    """Writes one line per epoch, counted from 1, to the screen and into the run's log.

    A plain callback's on_train_epoch_end runs before the task's own, which logs the epoch's
    metrics. A Checkpoint's runs after it (Lightning 2.6, `_FitLoop.on_advance_end`). By then the
    schedule has set the next epoch's rate: the line takes the rate that LearningRate has logged.
    """

    def __init__(self) -> None:
        self.validated = False

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self.validated = False

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self.validated = True

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        metrics = trainer.callback_metrics  # asked for on all ranks: it may reduce
        if not trainer.is_global_zero:
            return
        if not self.validated:  # they are of an earlier epoch
            metrics = {name: metrics[name] for name in metrics if not name.startswith("val/")}
        log.info("epoch %d of %d: %s", trainer.current_epoch + 1, trainer.max_epochs, line(metrics))


def line(metrics: dict[str, Tensor]) -> str:
    """`loss 2.469 acc 12.05 %, val loss 4.044 acc 14.69 %, lr 0.025, 523 images/s`.

    A task whose metrics have other names shows them all.
    """
    parts = []
    for stage in ("train", "val"):
        names = [name.split("/", 1)[1] for name in metrics if name.startswith(f"{stage}/")]
        names = sorted(name for name in names if name not in SAID_ELSEWHERE)
        shown = [name for name in HEADLINES if name in names] or names
        values = [f"{name} {_said(name, float(metrics[f'{stage}/{name}']))}" for name in shown]
        if values:  # without the word `train`, so that accuracy and loss fit in 80 columns
            parts.append(" ".join(values if stage == "train" else [stage, *values]))
    if LEARNING_RATE in metrics:
        parts.append(f"lr {float(metrics[LEARNING_RATE]):.4g}")
    if "train/images_per_s" in metrics:
        parts.append(f"{float(metrics['train/images_per_s']):,.0f} images/s")
    return ", ".join(parts)


def _said(name: str, value: float) -> str:
    return f"{100 * value:.2f} %" if name in SHARES else f"{value:.4g}"
