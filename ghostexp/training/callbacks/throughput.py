"""How many images per second a training reads."""

import time
from typing import Any

import numpy as np
import pytorch_lightning as pl
from torch import Tensor


class Throughput(pl.Callback):
    """Training images per second: median over the epochs of this process, without validation.

    `total_images`, over all devices, and `total_seconds` are sums over the same epochs: sums of
    several launches of a run may be added.
    """

    def __init__(self) -> None:
        self.rates: list[float] = []
        self.total_images = 0
        self.total_seconds = 0.0
        self.images = 0
        self.started = self.last_step = 0.0

    @property
    def images_per_s(self) -> float | None:
        """Median rate of the epochs so far, over all devices; None before the first has ended."""
        return float(np.median(self.rates)) if self.rates else None

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._begin()  # an epoch that is resumed in its midst has no start

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._begin()

    def on_train_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: Any,
        batch: tuple[Tensor, Tensor],
        batch_idx: int,
    ) -> None:
        self.images += len(batch[0])
        self.last_step = time.perf_counter()

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if self.images:
            images, seconds = self.images * trainer.world_size, self.last_step - self.started
            self.total_images += images
            self.total_seconds += seconds
            self.rates.append(images / seconds)
            # without a reduction, which would hang: the progress bar of rank 0 asks for the value
            # before the other ranks do; `sync_dist` only keeps Lightning from warning of that
            rate = self.rates[-1]
            pl_module.log("train/images_per_s", rate, rank_zero_only=True, sync_dist=True)

    def _begin(self) -> None:
        self.images = 0
        self.started = time.perf_counter()
