"""A network that is altered before it is trained."""

import logging
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
from torch import nn

log = logging.getLogger(__name__)


class ChangeNetwork(pl.Callback):
    """Calls `change(net, folder)`, which alters the task's network in place, before a fit.

    In the run's `folder` the change may keep what it must repeat when the run is resumed. After the
    first training step the log says what `change.describe(net)` tells about it.
    """

    def __init__(self, change: Callable[[nn.Module, Path], nn.Module]) -> None:
        self.change = change
        self.is_described = False

    def check(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        datamodule: pl.LightningDataModule,
    ) -> None:
        """ValueError with one sentence where the network cannot be changed; it stays as it is."""
        if any(True for _ in pl_module.net.parameters()):  # an exported network is not trained
            self.change(deepcopy(pl_module.net), Path(trainer.default_root_dir))

    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        if stage == "fit":
            self.change(pl_module.net, Path(trainer.default_root_dir))

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, *_: Any
    ) -> None:
        if not self.is_described and trainer.is_global_zero:
            log.info(self.change.describe(pl_module.net))
        self.is_described = True
