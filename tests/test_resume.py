"""A run cut anywhere goes on at its last epoch's end and ends with an undisturbed run's weights."""

import os
import signal
import subprocess
import sys
import time

import pytest
import torch
from helpers import ROOT, SMALL, assert_same_weights, result

from ghostexp.callbacks import SeedEpochs

EPOCHS = "trainer.max_epochs=4"


def cut_in_epoch(monkeypatch, epoch, stop):
    """Let the training stop by `stop` at the start of an epoch's second batch."""

    def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
        if trainer.current_epoch == epoch and batch_idx == 1:
            stop()

    monkeypatch.setattr(SeedEpochs, "on_train_batch_start", on_train_batch_start, raising=False)


def press_ctrl_c():
    raise KeyboardInterrupt


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
    undisturbed = small_run(EPOCHS, *overrides)
    with monkeypatch.context() as patch:
        cut_in_epoch(patch, 2, press_ctrl_c)
        assert app(*SMALL, EPOCHS, "name=cut", *overrides) == 130
    (cut,) = tmp_path.glob("outputs/cut/*")
    assert result(cut)["status"] == "interrupted"
    assert app(f"resume={cut}") == 0
    assert result(cut)["status"] == "finished"
    assert_same_weights(undisturbed, cut)
    first, second = result(undisturbed), result(cut)
    times = {"train/images_per_s"}
    assert {k: v for k, v in first["metrics"].items() if k not in times} == {
        k: v for k, v in second["metrics"].items() if k not in times
    }
    assert first["selected"] == second["selected"]


def test_a_killed_run_is_interrupted_and_goes_on(small_run, app, tmp_path):
    undisturbed = small_run(EPOCHS)
    command = [str(ROOT / "train.py"), *SMALL, EPOCHS, "name=killed"]
    code = (
        "import os, signal, sys; from ghostexp.callbacks import SeedEpochs\n"
        "def stop(self, trainer, module, batch, index):\n"
        "    if trainer.current_epoch == 2: os.kill(os.getpid(), signal.SIGKILL)\n"
        "SeedEpochs.on_train_batch_start = stop\n"
        f"import runpy; sys.argv = {command!r}\n"
        "runpy.run_path(sys.argv[0], run_name='__main__')"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True)
    assert done.returncode == -signal.SIGKILL
    (killed,) = tmp_path.glob("outputs/killed/*")
    assert app(f"resume={killed}") == 0
    assert_same_weights(undisturbed, killed)


def test_sigterm_writes_a_record_and_the_weights_first(app, tmp_path, monkeypatch):
    cut_in_epoch(monkeypatch, 1, lambda: os.kill(os.getpid(), signal.SIGTERM) or time.sleep(0.1))
    assert app(*SMALL, EPOCHS) == 130
    (folder,) = tmp_path.glob("outputs/train/*")
    assert result(folder)["status"] == "interrupted"
    assert (folder / "checkpoints" / "interrupted.ckpt").exists()


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
        cut_in_epoch(patch, 2, press_ctrl_c)
        app(*SMALL, EPOCHS)
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
