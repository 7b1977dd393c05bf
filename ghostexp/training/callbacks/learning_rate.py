"""The learning rate, as each step uses it."""

from typing import Any

import pytorch_lightning as pl

NAME = "train/lr"


class LearningRate(pl.Callback):
    """Logs the learning rate at the steps that are logged, and the last one of every epoch.

    Lightning's LearningRateMonitor names it `lr-SGD`, whose card TensorBoard opens first, and
    logs nothing in an epoch that is shorter than `log_every_n_steps`. Where parameter groups start
    with different rates, the largest is `train/lr` and the smallest `train/lr_smallest`.
    """

    def __init__(self) -> None:
        self.rates: dict[str, float] = {}

    def on_train_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        self.rates = rates(trainer.optimizers[0].param_groups)  # the schedule's step comes later
        if (trainer.global_step + 1) % trainer.log_every_n_steps == 0:
            pl_module.log_dict(self.rates, rank_zero_only=True)

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if trainer.global_step % trainer.log_every_n_steps:  # else the last step was logged
            # `sync_dist` only keeps Lightning from warning: rank 0 alone logs
            pl_module.log_dict(self.rates, rank_zero_only=True, sync_dist=True)


def rates(groups: list[dict[str, Any]]) -> dict[str, float]:
    """The largest rate of all parameter groups, and the smallest where they start differently."""
    now = [float(group["lr"]) for group in groups]
    start = {float(group.get("initial_lr", group["lr"])) for group in groups}
    found = {NAME: max(now)}
    return found if len(start) == 1 else found | {f"{NAME}_smallest": min(now)}
