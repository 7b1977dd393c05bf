"""A margin that grows from zero."""

import pytorch_lightning as pl


class MarginWarmup(pl.Callback):
    """Raises the margin of the task's loss linearly from 0, to be `margin` from epoch `epochs` on.

    The margin depends on the epoch alone, so a resumed run has an undisturbed run's margins.
    """

    def __init__(self, *, margin: float | None, epochs: int) -> None:
        if not isinstance(epochs, int) or epochs < 1:
            raise ValueError(
                f"epochs, in which the margin rises, is a whole number of at least 1, not {epochs}"
            )
        self.margin = margin
        self.epochs = epochs

    def check(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        datamodule: pl.LightningDataModule,
    ) -> None:
        """ValueError where the loss has no margin, or none is given."""
        has_margin = hasattr(getattr(pl_module, "loss", None), "margin")
        if not has_margin or self.margin is None:
            raise ValueError(
                "margin_warmup raises the margin of a loss: choose task=arcface or task=circle"
            )

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        pl_module.loss.margin = self.margin * min(1.0, trainer.current_epoch / self.epochs)
