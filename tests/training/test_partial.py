"""When a checkpoint within an epoch is saved; what it resumes is in tests/runs/test_resume.py."""

from types import SimpleNamespace

import pytest
import pytorch_lightning as pl
import torch
from torch.utils.data import DataLoader

from ghostexp.training.callbacks import PartialCheckpoint


class Watched(PartialCheckpoint):
    """Notes after how many steps it saves."""

    def __init__(self, *arguments, **values) -> None:
        super().__init__(*arguments, **values)
        self.saved: list[int] = []

    def _save(self, trainer):
        super()._save(trainer)
        self.saved.append(trainer.global_step)


class Linear(pl.LightningModule):
    def __init__(self) -> None:
        super().__init__()
        self.layer = torch.nn.Linear(1, 1)

    def training_step(self, batch, index):
        return self.layer(batch).sum()

    def validation_step(self, batch, index):
        self.layer(batch)

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.1)


def fit(folder, partial, **options):
    """Two epochs of six batches, each with a validation."""
    loader = DataLoader(torch.ones(6, 1))
    pl.Trainer(
        default_root_dir=folder,
        accelerator="cpu",
        max_epochs=2,
        num_sanity_val_steps=0,
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        callbacks=[partial],
        **options,
    ).fit(Linear(), loader, loader)


@pytest.mark.filterwarnings("ignore:.*does not have many workers")
@pytest.mark.parametrize(
    ("values", "options", "steps"),
    [
        ({}, {}, []),  # an epoch of seconds
        ({"every_n_steps": 4}, {}, [4, 8, 12]),  # 12 before the validation
        ({"every_n_steps": 2}, {"accumulate_grad_batches": 2}, [2, 4, 6]),
        ({"every_minutes": None}, {}, []),
        ({"every_n_steps": 1}, {"fast_dev_run": 2}, [1, 2]),
    ],
    ids=str,
)
def test_it_is_saved_every_so_many_steps_of_the_optimizer(tmp_path, values, options, steps):
    partial = Watched(str(tmp_path / "partial.ckpt"), **values)
    fit(tmp_path, partial, **options)
    assert partial.saved == steps
    writes = bool(steps) and "fast_dev_run" not in options
    assert partial.path.exists() == writes
    if writes:
        assert torch.load(partial.path, weights_only=True)["global_step"] == steps[-1]


@pytest.mark.filterwarnings("ignore:.*does not have many workers")
def test_it_is_saved_every_so_many_minutes_of_an_epoch(tmp_path, monkeypatch):
    clock = SimpleNamespace(seconds=0.0)
    clock.monotonic = lambda: clock.seconds

    class Slow(Watched):
        def on_train_batch_start(self, *hook):
            clock.seconds += 25
            super().on_train_batch_start(*hook)

    monkeypatch.setattr("ghostexp.training.callbacks.partial.time", clock)
    partial = Slow(str(tmp_path / "partial.ckpt"), every_minutes=1)
    fit(tmp_path, partial)
    assert partial.saved == [3, 6, 9, 12]


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"every_minutes": 0}, "every_minutes is a number above 0, or null, not 0"),
        ({"every_n_steps": 1.5}, "every_n_steps is a whole number of at least 1, or null, not 1.5"),
    ],
)
def test_wrong_intervals_are_refused(values, sentence):
    with pytest.raises(ValueError, match=sentence):
        PartialCheckpoint("partial.ckpt", **values)
