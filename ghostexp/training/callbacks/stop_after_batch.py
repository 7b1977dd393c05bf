"""A run that ends between two batches when a signal asks for it."""

from typing import Any

import pytorch_lightning as pl

from ghostexp.training import stopping


class StopAfterBatch(pl.Callback):
    """Raises `stopping.Stopped` before the next batch of whatever loop is running.

    From the setup of a fit, validation, test or prediction to its end the first signal is only
    noted. A training goes on until its optimizer has stepped, where gradients are accumulated.
    Every run has this callback; what a stopped fit keeps is up to `PartialCheckpoint`.
    """

    def __init__(self) -> None:
        self.defers = False
        self.steps = 0  # of the optimizer, when the last training batch began
        self.ready = False  # the signal came before a batch's end, which could save the weights

    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        stopping.defer()
        self.defers = True

    def teardown(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        self._undefer()

    def on_exception(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException
    ) -> None:
        self._undefer()

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        stopping.take_over()  # Lightning 2.6 installs its own handler of SIGTERM after `setup`

    def on_validation_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        stopping.take_over()

    def on_test_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        stopping.take_over()

    def on_predict_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        stopping.take_over()

    def on_train_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        self._stop()
        self.steps = trainer.global_step

    def on_train_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
    ) -> None:
        stepped = trainer.global_step != self.steps
        self.ready = stepped and stopping.requested()

    def on_validation_batch_start(self, *hook: Any) -> None:
        self._stop()

    def on_validation_batch_end(self, *hook: Any) -> None:
        self.ready = stopping.requested()

    def on_test_batch_start(self, *hook: Any) -> None:
        stopping.check()

    def on_predict_batch_start(self, *hook: Any) -> None:
        stopping.check()

    def _stop(self) -> None:
        if self.ready:
            stopping.check()

    def _undefer(self) -> None:
        if self.defers:
            stopping.undefer()
            self.defers = False
