"""Means over the images of an epoch, also of one that is interrupted and resumed."""

from typing import Any

import pytorch_lightning as pl
import torch
from torch import Tensor

KEY = "epoch_sums"  # in a checkpoint


class EpochMeans:
    """Sums of quantities over the images of an epoch, which a checkpoint within the epoch keeps.

    A metric object of torchmetrics costs a millisecond per step, and the means that Lightning
    takes by itself are lost where a run is resumed within an epoch.
    """

    def __init__(self) -> None:
        self.sums: dict[str, Tensor] = {}
        self.count = 0
        self.resumed: dict[str, Any] = {"sums": {}, "count": 0}
        self.within_epoch = False

    def start(self) -> None:
        """An epoch starts, or goes on where the loaded checkpoint was saved."""
        self.sums, self.count = self.resumed["sums"], self.resumed["count"]
        self.resumed = {"sums": {}, "count": 0}
        self.within_epoch = True

    def add(self, count: int, sums: dict[str, Tensor]) -> None:
        """Add a batch of `count` images: the sum of each quantity over them."""
        self.count += count
        for name, value in sums.items():
            earlier = self.sums.get(name)
            self.sums[name] = value if earlier is None else earlier.to(value.device) + value

    def end(self, trainer: pl.Trainer) -> dict[str, Tensor]:
        """The means over the images of all processes; the epoch ends."""
        self.within_epoch = False
        values = [value.float() for value in self.sums.values()]
        mine = torch.stack([*values, torch.full_like(values[0], self.count)])
        *sums, count = trainer.strategy.reduce(mine, reduce_op="sum").unbind()
        return {name: value / count for name, value in zip(self.sums, sums, strict=True)}

    def save(self, checkpoint: dict[str, Any]) -> None:
        checkpoint[KEY] = {"sums": self.sums, "count": self.count}

    def load(self, checkpoint: dict[str, Any]) -> None:
        self.resumed = checkpoint.get(KEY, self.resumed)
