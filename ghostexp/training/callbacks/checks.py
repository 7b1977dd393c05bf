"""What a callback may be asked before a training begins."""

from typing import Protocol, runtime_checkable

import pytorch_lightning as pl


@runtime_checkable
class Checks(Protocol):
    """A callback that can say, before any data loads, what in a training it cannot work with."""

    def check(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        datamodule: pl.LightningDataModule,
    ) -> None:
        """ValueError with one sentence where this callback cannot work in the training."""


@runtime_checkable
class ChecksExamples(Protocol):
    """A callback that works with some of the test examples."""

    def check_examples(self, num_test: int) -> None:
        """ValueError with one sentence where `num_test` test examples are not enough."""
