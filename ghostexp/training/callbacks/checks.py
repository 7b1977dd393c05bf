"""What a callback is asked before any data loads."""

from typing import Protocol, runtime_checkable

import pytorch_lightning as pl


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
