"""Generators that follow from seed, epoch and batch alone."""

import random
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch

EPOCH, TRAIN, VALIDATION, TEST = range(4)  # streams of random numbers


class SeedBatches(pl.Callback):
    """Seeds every generator before each training batch, and before a validation or test.

    The state follows from (seed, epoch, batch, rank) alone. Whatever draws from a global generator,
    such as dropout, stochastic depth or a detector's sampling, therefore does the same in a run
    that is resumed at any batch as in an undisturbed run, with no generator state in a checkpoint.
    """

    def __init__(self, seed: int) -> None:
        self.seed = seed

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._seed(trainer, pl_module, EPOCH)

    def on_train_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        self._seed(trainer, pl_module, TRAIN, batch_idx)

    def on_validation_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._seed(trainer, pl_module, VALIDATION, trainer.global_step)

    def on_test_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._seed(trainer, pl_module, TEST)

    def _seed(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, stream: int, place: int = 0
    ) -> None:
        entropy = [self.seed, trainer.current_epoch, trainer.global_rank, stream, place]
        state = int(np.random.SeedSequence(entropy).generate_state(1)[0])
        random.seed(state)
        np.random.seed(state)
        torch.default_generator.manual_seed(state)  # torch.manual_seed takes 10 times as long
        if pl_module.device.type != "cpu":
            torch.get_device_module(pl_module.device).manual_seed(state)
