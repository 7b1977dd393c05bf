"""A classifier's task whose logits are known, for tests of what the task computes."""

from functools import partial

import pytorch_lightning as pl
import torch
from torch import nn

from ghostexp.tasks import ClassificationTask
from ghostexp.training.optim import constant, parameter_groups


def make_task(net, *, num_classes=3, sched=None, loss=None, **options):
    return ClassificationTask(
        net,
        num_classes=num_classes,
        loss=loss or nn.CrossEntropyLoss(),
        optimizer=partial(torch.optim.SGD, lr=0.1),
        sched=sched or {"scheduler": constant, "interval": "epoch", "frequency": 1},
        param_groups=parameter_groups,
        **options,
    )


def trainer(tmp_path, **options):
    return pl.Trainer(
        default_root_dir=tmp_path,
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        **{"max_epochs": 1, **options},
    )


class Fixed(nn.Module):
    """Logits that are the images' first pixels, and one parameter without effect on them."""

    def __init__(self):
        super().__init__()
        self.shift = nn.Parameter(torch.zeros(()))

    def forward(self, images):
        return images[:, :, 0, 0] + self.shift
