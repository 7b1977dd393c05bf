"""Generators that follow from seed and epoch alone."""

import random

import numpy as np
import pytorch_lightning as pl
import torch


class SeedEpochs(pl.Callback):
    """Seeds every generator at each epoch's start from (seed, epoch, rank) alone.

    Whatever draws from a global generator (dropout, stochastic depth) therefore does the same in a
    resumed run as in an undisturbed one, with no generator state in the checkpoint.
    """

    def __init__(self, seed: int) -> None:
        self.seed = seed

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        entropy = [self.seed, trainer.current_epoch, trainer.global_rank]
        state = int(np.random.SeedSequence(entropy).generate_state(1)[0])
        random.seed(state)
        np.random.seed(state)
        torch.manual_seed(state)
