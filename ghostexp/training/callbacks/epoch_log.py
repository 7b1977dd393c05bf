"""A line per epoch."""

import logging
import sys

import pytorch_lightning as pl

log = logging.getLogger(__name__)


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
