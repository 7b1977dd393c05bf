"""What optimizers and schedules refuse, and any optimizer that goes on from a checkpoint."""

from copy import deepcopy
from functools import partial

import pytest
import pytorch_lightning as pl
import timm.optim
import torch
from pytorch_lightning.callbacks import Checkpoint
from torch import nn
from torch.optim import lr_scheduler
from torch.utils.data import DataLoader, TensorDataset

from ghostexp.tasks import ClassificationTask
from ghostexp.training.optim import constant, cosine, parameter_groups

SGD = partial(torch.optim.SGD, lr=0.1)


def make_task(optimizer=SGD, scheduler=constant, *, interval="epoch", **sched):
    torch.manual_seed(0)
    return ClassificationTask(
        nn.Sequential(nn.Flatten(), nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 3)),
        num_classes=3,
        loss=nn.CrossEntropyLoss(),
        optimizer=optimizer,
        sched={"scheduler": scheduler, "interval": interval, "frequency": 1, **sched},
        param_groups=parameter_groups,
    )


def make_trainer(folder, max_epochs, callbacks=()):
    return pl.Trainer(
        default_root_dir=folder,
        max_epochs=max_epochs,
        accelerator="cpu",
        logger=False,
        callbacks=list(callbacks),
        enable_checkpointing=bool(callbacks),
        enable_progress_bar=False,
        enable_model_summary=False,
        log_every_n_steps=1,
    )


@pytest.fixture
def loader():
    generator = torch.Generator().manual_seed(0)
    images = torch.randn(12, 1, 2, 2, generator=generator)
    return DataLoader(TensorDataset(images, torch.arange(12) % 3), batch_size=4)


class KeepCheckpoint(Checkpoint):  # Lightning calls these after the task's own hooks
    """Saves a checkpoint of each epoch's end beside `path`."""

    def __init__(self, path):
        self.path = path

    def on_train_epoch_end(self, trainer, pl_module):
        trainer.save_checkpoint(self.path.with_name(f"{trainer.current_epoch}.ckpt"))


OPTIMIZERS = {
    "sgd": partial(torch.optim.SGD, lr=0.1, momentum=0.9, nesterov=True),
    "adam": partial(torch.optim.Adam, lr=0.01, amsgrad=True),
    "adamw": partial(torch.optim.AdamW, lr=0.01, betas=[0.8, 0.9]),
    "rmsprop": partial(torch.optim.RMSprop, lr=0.01, momentum=0.9, centered=True),
    "nadam": partial(torch.optim.NAdam, lr=0.01),
    "rprop": partial(torch.optim.Rprop, lr=0.01),
    "asgd": partial(torch.optim.ASGD, lr=0.01),
    "timm's lamb counts its steps in the group": partial(timm.optim.Lamb, lr=0.01),
    "timm's lookahead too": partial(
        timm.optim.create_optimizer_v2, opt="lookahead_adamw", lr=0.01, weight_decay=0.1
    ),
}


@pytest.mark.parametrize("optimizer", OPTIMIZERS.values(), ids=OPTIMIZERS)
def test_a_resumed_optimizer_is_an_undisturbed_one(tmp_path, loader, optimizer):
    cycles = optimizer.func in (torch.optim.SGD, torch.optim.AdamW)  # momentum and betas too
    scheduler = partial(lr_scheduler.OneCycleLR, max_lr=0.02) if cycles else cosine
    sched = {"scheduler": scheduler, "interval": "step"}
    whole = make_task(optimizer, **sched)
    trainer = make_trainer(tmp_path, 4, [KeepCheckpoint(tmp_path / "any.ckpt")])
    trainer.fit(whole, loader, loader)
    resumed = make_task(optimizer, **sched)
    resumed.check_optimisation()
    again = make_trainer(tmp_path, 4)
    again.fit(resumed, loader, loader, ckpt_path=tmp_path / "1.ckpt", weights_only=True)
    for name, value in whole.net.state_dict().items():
        assert torch.equal(value, resumed.net.state_dict()[name]), name
    assert trainer.lr_scheduler_configs[0].scheduler.state_dict() == (
        again.lr_scheduler_configs[0].scheduler.state_dict()
    )


@pytest.mark.parametrize(
    ("optimizer", "sentence"),
    [
        (partial(torch.optim.SGD, lr=-1.0), "optimizer: Invalid learning rate: -1.0"),
        (partial(torch.optim.SGD, lr="abc"), "optimizer: TypeError: "),
        (partial(torch.optim.SGD, momentum=-1), "optimizer: Invalid momentum value: -1"),
        (partial(torch.optim.SGD, nesterov=True), "optimizer: Nesterov momentum requires"),
        (partial(torch.optim.SGD, lrr=1), "optimizer: TypeError: "),
        (partial(torch.optim.AdamW, betas=0.9), "optimizer: "),
        (
            partial(torch.optim.AdamW, betas=[0.9, 1.5]),
            "optimizer: Invalid beta parameter at index 1",
        ),
        (partial(torch.optim.AdamW, weight_decay=-1), "optimizer: Invalid weight_decay value: -1"),
        (partial(torch.optim.LBFGS), "optimizer: LBFGS computes the loss of a batch several times"),
        (partial(torch.optim.SparseAdam), "optimizer: RuntimeError: SparseAdam does not support"),
        (partial(nn.Flatten), "optimizer: Flatten is no optimizer"),
        (partial(list), "optimizer: list is no optimizer"),
        (partial(torch.optim.Muon), "optimizer: Muon only supports 2D parameters"),
    ],
)
def test_values_that_an_optimizer_refuses(optimizer, sentence):
    with pytest.raises(ValueError, match="optimizer") as caught:
        make_task(optimizer).check_optimisation()
    assert str(caught.value).startswith(sentence)


STEP, MULTI, CYCLE, PLATEAU = (
    *(lr_scheduler.StepLR, lr_scheduler.MultiStepLR),
    *(lr_scheduler.OneCycleLR, lr_scheduler.ReduceLROnPlateau),
)


@pytest.mark.parametrize(
    ("scheduler", "entry", "sentence"),
    [
        (partial(MULTI, milestones=5), {}, "sched.scheduler: TypeError: "),
        (partial(MULTI), {}, "sched.scheduler: TypeError: "),
        (partial(STEP, step_size=0), {}, "sched.scheduler: ZeroDivisionError"),
        (partial(CYCLE, max_lr=0.1, pct_start=3.0), {}, "sched.scheduler: Expected float between"),
        (partial(CYCLE, max_lr=[0.1, 1]), {}, "sched.scheduler: max_lr must have the same length"),
        (partial(cosine, warmup=1.5), {}, "sched.scheduler: warmup is the share"),
        (
            partial(PLATEAU, factor=2.0),
            {"monitor": "train/loss"},
            "sched.scheduler: Factor should be",
        ),
        (PLATEAU, {}, "sched.monitor must name the metric"),
        (PLATEAU, {"monitor": "train/loss", "interval": "step"}, "sched.interval must be epoch"),
        (partial(torch.optim.SGD, lr=1), {}, "sched.scheduler: "),
        (partial(len), {}, "sched.scheduler: "),
    ],
)
def test_values_that_a_schedule_refuses(scheduler, entry, sentence):
    with pytest.raises(ValueError, match="sched") as caught:
        make_task(scheduler=scheduler, **entry).check_optimisation()
    assert str(caught.value).startswith(sentence)


def test_a_check_leaves_nothing_behind():
    task = make_task(partial(torch.optim.AdamW, lr=0.1), partial(CYCLE, max_lr=0.1))
    before, known = deepcopy(task.net.state_dict()), set(vars(task))
    random = torch.get_rng_state()
    task.check_optimisation()
    assert set(vars(task)) == known
    assert torch.equal(torch.get_rng_state(), random)
    for name, parameter in task.net.named_parameters():
        assert torch.equal(parameter, before[name])
        assert parameter.grad is None


def test_schedules_count_their_own_interval(tmp_path, loader):
    per_epoch = make_task(scheduler=cosine, interval="epoch")
    trainer = make_trainer(tmp_path, 2)
    trainer.fit(per_epoch, loader, loader)
    assert trainer.optimizers[0].param_groups[0]["lr"] == pytest.approx(0)
    per_step = make_task(scheduler=partial(MULTI, milestones=[2, 4]), interval="step")
    trainer = make_trainer(tmp_path, 2)
    trainer.fit(per_step, loader, loader)
    assert trainer.optimizers[0].param_groups[0]["lr"] == pytest.approx(0.001)


def test_only_a_checkpoint_of_an_epochs_end_is_older_than_a_plateaus_step(tmp_path, loader):
    class KeepMore(KeepCheckpoint):
        def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
            trainer.save_checkpoint(self.path.with_name(f"within_{trainer.current_epoch}.ckpt"))

        def on_train_end(self, trainer, pl_module):
            trainer.save_checkpoint(self.path.with_name("end.ckpt"))

    task = make_task(scheduler=PLATEAU, monitor="train/loss")
    make_trainer(tmp_path, 2, [KeepMore(tmp_path / "any.ckpt")]).fit(task, loader, loader)
    missed = {
        path.stem: torch.load(path, weights_only=True)["optimisation"]["missed"]
        for path in tmp_path.glob("*.ckpt")
    }
    assert {name for name, metric in missed.items() if metric is not None} == {"0", "1"}
    assert missed.keys() == {"0", "1", "within_0", "within_1", "end"}


def test_a_loss_that_is_not_finite_stops_before_its_step(tmp_path, loader):
    task = make_task(partial(torch.optim.SGD, lr=1e30))
    sentence = (
        r"the loss of epoch 1, batch 2 is not finite \(loss (nan|inf)\): a smaller optimizer.lr"
    )
    with pytest.raises(FloatingPointError, match=sentence):
        make_trainer(tmp_path, 1).fit(task, loader, loader)


def test_lost_weights_never_replace_a_checkpoint(tmp_path, loader):
    class Lose(pl.Callback):
        def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
            if trainer.current_epoch == 1 and batch_idx == 2:  # the epoch's last batch
                pl_module.net[1].bias.data[0] = torch.nan

    callbacks = [Lose(), KeepCheckpoint(tmp_path / "any.ckpt")]
    with pytest.raises(FloatingPointError, match="the weights are not finite in epoch 2"):
        make_trainer(tmp_path, 3, callbacks).fit(make_task(), loader, loader)
    assert [path.name for path in tmp_path.glob("*.ckpt")] == ["0.ckpt"]
