"""A run cut anywhere goes on at that batch and ends with an undisturbed run's weights."""

import os
import signal
import subprocess
import sys

import pytest
import torch
from helpers import ROOT, SMALL, assert_same_weights, result

from ghostexp.training.callbacks import Throughput

EPOCHS = "trainer.max_epochs=4"
BATCHES = "trainer.limit_train_batches=5"
CUT = (2, 1)  # epoch and batch


@pytest.fixture(autouse=True)
def ctrl_c():
    """A shell starts a background job with SIGINT ignored, which a run then ignores too."""
    earlier = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, earlier)


def cut(monkeypatch, stop, *, hook="on_train_batch_start", at=CUT):
    """Let a run meet `stop` once, in the midst of a batch; returns the batches that it trained."""
    trained = []

    def in_batch(self, trainer, pl_module, batch, batch_idx, *rest):
        place = (trainer.current_epoch, batch_idx)
        if hook == "on_train_batch_start":
            trained.append(place)
        if place == at:
            stop()

    monkeypatch.setattr(Throughput, hook, in_batch, raising=False)
    return trained


def send(signum):
    return lambda: os.kill(os.getpid(), signum)


def assert_same_run(one, other):
    """Weights, metrics and chosen epoch are the same to the last bit."""
    assert_same_weights(one, other)
    first, second = result(one), result(other)
    assert (first["status"], second["status"]) == ("finished", "finished")
    times = {"train/images_per_s"}
    assert {k: v for k, v in first["metrics"].items() if k not in times} == {
        k: v for k, v in second["metrics"].items() if k not in times
    }
    assert first["selected"] == second["selected"]


@pytest.mark.parametrize(
    "overrides",
    [
        [],
        ["sched=warmup_cosine"],
        ["sched=onecycle"],
        ["sched=plateau", "sched.scheduler.patience=0"],
        ["callbacks=ema", "callbacks.ema.decay=0.5"],
        ["callbacks=early_stopping", "callbacks.early_stopping.patience=3"],
        ["callbacks=finetune", "+callbacks.freeze.blocks_by_epoch={1: 2, 3: -1}", "task=layerwise"],
        ["callbacks=progressive", "callbacks.progressive.image_size=[4, 8]"],
        ["optimizer=adamw", "dataset.val_split=0", "sched=multistep"],
    ],
    ids=lambda overrides: "+".join(overrides) or "default",
)
def test_a_cut_run_ends_like_an_undisturbed_one(small_run, app, tmp_path, monkeypatch, overrides):
    if "sched=multistep" in overrides:
        overrides = [*overrides, "sched.scheduler.milestones=[1,3]"]
    overrides = [EPOCHS, BATCHES, *overrides]
    undisturbed = small_run(*overrides)
    with monkeypatch.context() as patch:
        cut(patch, send(signal.SIGINT))
        assert app(*SMALL, "name=cut", *overrides) == 130
    (folder,) = tmp_path.glob("outputs/cut/*")
    assert result(folder)["status"] == "interrupted"
    with monkeypatch.context() as patch:
        trained = cut(patch, lambda: None)
        assert app(f"resume={folder}") == 0
    assert trained[0] == (CUT[0], CUT[1] + 1)
    assert_same_run(undisturbed, folder)
    assert not (folder / "checkpoints" / "partial.ckpt").exists()


def test_more_epochs_extend_a_finished_run(small_run, app):
    folder = small_run("trainer.max_epochs=2")
    assert app(f"resume={folder}", "trainer.max_epochs=3") == 0
    record = result(folder)
    assert record["epochs"] == 3
    assert record["max_epochs"] == 3
    assert record["choices"]["model"] == "resnet20"


def test_a_finished_run_is_not_run_again(small_run, app, capfd):
    folder = small_run()
    before = result(folder)
    assert app(f"resume={folder}") == 0
    assert result(folder) == before


def test_resume_refuses_what_is_no_value_of_the_run(small_run, app, capfd):
    folder = small_run()
    before = result(folder)
    assert app(f"resume={folder}", "model=resnet56") == 1
    assert "model is no value to change" in "".join(capfd.readouterr())
    assert result(folder) == before


def test_metrics_of_a_cut_epoch_are_replaced(app, tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        cut(patch, send(signal.SIGINT))
        app(*SMALL, EPOCHS, BATCHES)
    (folder,) = tmp_path.glob("outputs/train/*")
    app(f"resume={folder}")
    lines = (folder / "metrics.csv").read_text().splitlines()
    header = lines[0].split(",")
    epochs = [
        row[header.index("epoch")]
        for row in (line.split(",") for line in lines[1:])
        if row[header.index("train/acc")]
    ]
    assert epochs == ["0", "1", "2", "3"]


def test_a_hostile_checkpoint_is_refused(small_run, app, tmp_path, capfd):
    folder = small_run()

    class Hostile:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "hacked"),)

    torch.save({"state_dict": Hostile()}, folder / "checkpoints" / "last.ckpt")
    assert app(f"resume={folder}", "trainer.max_epochs=3") == 1
    assert not (tmp_path / "hacked").exists()
    assert "last.ckpt" in "".join(capfd.readouterr())
