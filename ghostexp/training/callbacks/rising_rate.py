"""A learning rate that rises from step to step, and the loss at each rate."""

from math import isfinite
from typing import Any

import pytorch_lightning as pl

BETA = 0.9  # of the running mean of the loss that decides when to stop
DIVERGED = 4.0  # times the lowest running mean


class RisingRate(pl.Callback):
    """Trains step k with `rates[k]`, and notes the mean loss of the step's batches.

    `rates` are rates of the optimizer; parameter groups with another rate keep their ratio to it.
    The training ends after the last rate, or where the loss has diverged.
    """

    def __init__(self, rates: list[float]) -> None:
        self.rates = rates
        self.losses: list[float] = []  # one per step, of rates[: len(losses)]
        self.batches: list[float] = []  # losses of the current step
        self.lowest = float("inf")
        self.mean = 0.0

    def on_train_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        optimizer = trainer.optimizers[0]
        factor = self.rates[len(self.losses)] / optimizer.defaults["lr"]
        for group in optimizer.param_groups:
            group["lr"] = group["initial_lr"] * factor

    def on_train_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
    ) -> None:
        self.batches.append(float(outputs["loss"]))
        if trainer.global_step > len(self.losses):  # the optimizer has stepped
            sum_of_all = sum(self.batches) * trainer.accumulate_grad_batches  # Lightning divided
            self.losses.append(sum_of_all / len(self.batches))
            self.batches = []
            trainer.should_stop = len(self.losses) == len(self.rates) or self._has_diverged()

    def _has_diverged(self) -> bool:
        loss, count = self.losses[-1], len(self.losses)
        self.mean = BETA * self.mean + (1 - BETA) * loss
        mean = self.mean / (1 - BETA**count)  # else the first ones are too low
        self.lowest = min(self.lowest, mean)
        return not isfinite(loss) or mean > DIVERGED * self.lowest
