"""Freezing: what stays, what moves, against a head trained alone on fixed features."""

import logging
from functools import partial
from types import SimpleNamespace

import pytest
import pytorch_lightning as pl
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from ghostexp.tasks import ClassificationTask
from ghostexp.training.callbacks.finetune import Freeze, describe
from ghostexp.training.optim import constant, parameter_groups

STAGED = {0: -1, 1: 0, 2: 1}  # all, the head, the head and the last block


class Net(nn.Module):
    """Two blocks of convolution and batch norm, and a head."""

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential()
        for in_channels in (3, 4):
            self.features.append(nn.Conv2d(in_channels, 4, 3, padding=1))
            self.features.append(nn.BatchNorm2d(4))
        self.classifier = nn.Linear(4, 3)

    def forward(self, images):
        return self.classifier(self.features(images).relu().mean((2, 3)))


@pytest.fixture
def loader():
    generator = torch.Generator().manual_seed(0)
    images = torch.randn(8, 3, 4, 4, generator=generator)
    labels = torch.randint(3, (8,), generator=generator)
    return DataLoader(TensorDataset(images, labels), batch_size=4)


@pytest.fixture
def task():
    torch.manual_seed(0)
    return ClassificationTask(
        Net(),
        num_classes=3,
        loss=nn.CrossEntropyLoss(),
        optimizer=partial(torch.optim.SGD, lr=0.1, momentum=0.9, weight_decay=0.1),
        sched={"scheduler": constant, "interval": "epoch", "frequency": 1},
        param_groups=parameter_groups,
    )


def fit(tmp_path, task, loader, *callbacks, max_epochs=3):
    trainer = pl.Trainer(
        default_root_dir=tmp_path,
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        max_epochs=max_epochs,
        val_check_interval=1,  # after each batch: validation switches modes within an epoch
        callbacks=list(callbacks),
    )
    trainer.fit(task, loader, loader)


class States(pl.Callback):
    """State dict of the network at the start of each epoch and at the end."""

    def __init__(self) -> None:
        self.seen: list[dict[str, torch.Tensor]] = []

    def on_train_epoch_start(self, trainer, pl_module):
        self.seen.append({key: value.clone() for key, value in pl_module.net.state_dict().items()})

    on_train_end = on_train_epoch_start


def moved(before, after):
    """Layers of which anything changed: weight, bias or statistics."""
    return {key.rpartition(".")[0] for key in before if not torch.equal(before[key], after[key])}


@pytest.mark.parametrize(
    "optimizer",
    [
        partial(torch.optim.SGD, lr=0.1, momentum=0.9, weight_decay=0.1),
        partial(torch.optim.AdamW, lr=0.1, weight_decay=0.1),
    ],
    ids=["sgd", "adamw"],
)
def test_frozen_layers_do_not_move_a_bit(tmp_path, task, loader, optimizer):
    task.optimizer = optimizer
    states = States()
    fit(tmp_path, task, loader, Freeze(STAGED), states)
    everything = {f"features.{index}" for index in range(4)} | {"classifier"}
    first, second, third, end = states.seen
    assert moved(first, second) == everything
    assert moved(second, third) == {"classifier"}  # the others' momentum is left over
    assert moved(third, end) == {"features.2", "features.3", "classifier"}


def test_the_head_alone_is_a_linear_model_on_fixed_features(tmp_path, task, loader):
    net = task.net.eval()
    head = nn.Linear(4, 3)
    head.load_state_dict(net.classifier.state_dict())
    images, labels = loader.dataset.tensors
    with torch.no_grad():
        features = net.features(images).relu().mean((2, 3))
    optimizer = torch.optim.SGD(head.parameters(), lr=0.1, momentum=0.9, weight_decay=0.1)
    for _ in range(3):
        for batch in (slice(4), slice(4, 8)):
            optimizer.zero_grad()
            nn.functional.cross_entropy(head(features[batch]), labels[batch]).backward()
            optimizer.step()
    net.train()
    fit(tmp_path, task, loader, Freeze({0: 0}))
    torch.testing.assert_close(net.classifier.weight, head.weight)
    torch.testing.assert_close(net.classifier.bias, head.bias)


def test_the_state_follows_from_the_epoch_alone():
    freeze = Freeze({10: -1, 0: 0, 5: 2})
    assert [freeze.trainable_blocks(epoch) for epoch in (0, 4, 5, 9, 10, 99)] == [
        0,
        0,
        2,
        2,
        -1,
        -1,
    ]


def test_what_the_network_keeps_from_training_stays_so(tmp_path, task, loader):
    bias = task.net.features[0].bias
    bias.requires_grad = False
    before = bias.clone()
    fit(tmp_path, task, loader, Freeze({0: 0, 1: -1}), max_epochs=2)
    assert torch.equal(bias, before)
    assert describe(task.net) == "3 of 3 blocks train, 287 of 291 parameters"


def test_each_change_is_a_line(tmp_path, task, loader, caplog):
    with caplog.at_level(logging.INFO, "ghostexp.training.callbacks.finetune"):
        fit(tmp_path, task, loader, Freeze({0: 0, 2: 1, 7: -1}))
    lines = [
        r.getMessage() for r in caplog.records if r.name == "ghostexp.training.callbacks.finetune"
    ]
    assert lines == [
        "epoch 7 is past the last of 3 epochs",
        "epoch 1: 1 of 3 blocks train, 15 of 291 parameters",
        "epoch 3: 2 of 3 blocks train, 171 of 291 parameters",
    ]


@pytest.mark.parametrize(
    ("blocks_by_epoch", "sentence"),
    [
        ({}, "from epoch 0 on, not {}"),
        ({5: 0}, "from epoch 0 on, not {5: 0}"),
        ({0: 0, -1: 1}, "an epoch is a whole number of at least 0, not -1"),
        ({0: 0, "5": 1}, "an epoch is a whole number of at least 0, not '5'"),
        ({0: -2}, "or -1 for all, not -2"),
        ({0: 1.5}, "or -1 for all, not 1.5"),
    ],
)
def test_bad_plans_are_refused(blocks_by_epoch, sentence):
    with pytest.raises(ValueError, match="blocks_by_epoch") as error:
        Freeze(blocks_by_epoch)
    assert sentence in str(error.value)


def test_more_blocks_than_there_are_is_one_sentence(task):
    with pytest.raises(ValueError, match="Net has 2 blocks besides its head, so from epoch 4 on 3"):
        Freeze({0: 0, 4: 3}).check(SimpleNamespace(world_size=1), task, None)


def test_stages_under_ddp_are_refused(task):
    devices = SimpleNamespace(world_size=2)
    Freeze({0: 1}).check(devices, task, None)
    with pytest.raises(ValueError, match="on several devices one stage is possible"):
        Freeze({0: 0, 4: 1}).check(devices, task, None)


def test_a_run_with_too_many_blocks_ends_before_its_data(app, tmp_path, capfd):
    plan = "+callbacks.freeze.blocks_by_epoch={0: 0, 3: 99}"
    assert app("callbacks=finetune", "dataset.root=nowhere", "dataset=cifar10", plan) == 1
    assert "callbacks: blocks_by_epoch: CifarResNet has 28 blocks" in "".join(capfd.readouterr())
    assert not list(tmp_path.rglob("*.ckpt"))
