"""What a run's record learns at each epoch's end."""

from collections.abc import Callable
from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.callbacks import Checkpoint

from ghostexp.training.callbacks.throughput import Throughput


class KeepRecord(Checkpoint):
    """Hands the facts of each finished epoch to `update`, and keeps them in the checkpoints.

    A run that is gone on with has the facts of its checkpoint's epoch, whatever its record says:
    a process may be killed between the two. It is a `Checkpoint` because Lightning calls those
    after the task's own hook at an epoch's end, when the epoch's metrics are complete.
    """

    def __init__(self, update: Callable[[dict[str, Any]], None]) -> None:
        self.update = update
        self.facts: dict[str, Any] = {}
        self.earlier = {"images": 0, "seconds": 0.0}  # of the launches before this one

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        training = dict(self.earlier)
        for callback in trainer.callbacks:
            if isinstance(callback, Throughput):
                training["images"] += callback.total_images
                training["seconds"] += callback.total_seconds
        seconds = training["seconds"]
        self.facts = {
            "epochs": trainer.current_epoch + 1,
            "metrics": logged(trainer),
            "training": training,
            "throughput": training["images"] / seconds if seconds else None,
        }
        if trainer.is_global_zero:
            self.update(self.facts)

    def state_dict(self) -> dict[str, Any]:
        return self.facts

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.facts = state_dict
        self.earlier = dict(state_dict.get("training", self.earlier))


def logged(trainer: pl.Trainer) -> dict[str, float]:
    """Latest value of every logged metric."""
    return {key: float(value) for key, value in sorted(trainer.callback_metrics.items())}
