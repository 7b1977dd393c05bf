"""A network that is altered before it is trained."""

from collections.abc import Callable

import pytorch_lightning as pl
from torch import nn


class ChangeNetwork(pl.Callback):
    """Calls `change(net)`, which alters the task's network in place, before a fit."""

    def __init__(self, change: Callable[[nn.Module], nn.Module]) -> None:
        self.change = change

    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        if stage == "fit":
            self.change(pl_module.net)
