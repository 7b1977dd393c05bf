"""One run end to end: what it leaves in its folder, and what it says of mistakes."""

import csv
import os
import subprocess
import sys

import pytest
import torch
from helpers import ROOT, SMALL, result
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from ghostexp.config.build import build_network
from ghostexp.runs.evaluate import evaluate
from ghostexp.runs.load import load_run
from ghostexp.runs.subject import subject_of
from ghostexp.tasks import ClassificationTask
from ghostexp.training.checkpoint_io import AtomicCheckpointIO


def test_a_run_leaves_its_record(small_run):
    folder = small_run("seed=3")
    record = result(folder)
    assert record["status"] == "finished"
    assert record["seed"] == 3
    assert record["choices"]["model"] == "resnet20"
    assert record["network"]["params"] == 272_474 - 2 * 16 * 9  # ResNet-20 (B), one input channel
    assert record["selected"] == {"rule": "best val/acc", "epoch": record["selected"]["epoch"]}
    assert {"test/acc", "test/loss", "val/acc", "val/loss", "train/loss"} <= record[
        "metrics"
    ].keys()
    assert record["error"] is None
    assert record["throughput"] > 0
    assert record["epochs"] == 2
    assert (folder / ".hydra" / "config.yaml").exists()
    assert sorted(p.name for p in folder.glob("checkpoints/*")) == ["best.ckpt", "last.ckpt"]


def test_the_default_callbacks_work_together(app, tmp_path, capfd):
    watched = [override for override in SMALL if not override.startswith("callbacks.")]
    assert app(*watched, "trainer.max_epochs=2") == 0
    said = "".join(capfd.readouterr())
    assert "272,186" in said  # params of the network, by its summary
    assert "epoch 2 of 2: " in said
    assert "handwritten digits" in said
    assert "dataset=cifar10" in said


def test_the_next_commands_are_those_that_the_run_can_serve(app, capfd):
    words = [word for word in SMALL if not word.startswith("callbacks.")]
    assert app(*words, "trainer.max_epochs=1", "name=all") == 0
    said = "".join(capfd.readouterr())
    assert "ghostexp predict outputs/all/" in said
    assert "tensorboard --logdir outputs/all" in said
    assert app(*words, "trainer.max_epochs=1", "name=few", "callbacks=none", "logger=csv") == 0
    said = "".join(capfd.readouterr())
    assert "next: ghostexp report outputs/few" in said
    assert "predict" not in said
    assert "tensorboard" not in said


def test_an_interrupted_run_without_a_checkpoint_is_said_to_start_over(app, capfd, monkeypatch):
    def interrupt(self, batch):
        raise KeyboardInterrupt

    monkeypatch.setattr(ClassificationTask, "training_step", interrupt)
    words = [word for word in SMALL if not word.startswith("callbacks.")]
    assert app(*words, "callbacks=none") == 130
    said = "".join(capfd.readouterr())
    assert "starts it over, because it left no checkpoint" in said
    assert "goes on with it" not in said


def test_what_it_logs_can_be_read_back(small_run):
    folder = small_run(drawn=True)
    record = result(folder)
    rows = list(csv.DictReader((folder / "metrics.csv").read_text().splitlines()))
    tested = [row["test/acc"] for row in rows if row.get("test/acc")]
    assert [float(value) for value in tested] == pytest.approx([record["metrics"]["test/acc"]])
    events = EventAccumulator(str(folder / "tensorboard"), size_guidance={"images": 0})
    events.Reload()
    tags = events.Tags()
    assert {"train/loss", "train/acc", "val/loss", "val/acc", "test/acc"} <= set(tags["scalars"])
    assert "train/lr" in tags["scalars"]
    assert {"train/augmented_images", "test/confusion"} <= set(tags["images"])
    final = [event.value for event in events.Scalars("test/acc")]
    assert all(value == pytest.approx(record["metrics"]["test/acc"]) for value in final)
    assert "_hparams_/session_start_info" in tags["tensors"] or any(
        "hparams" in name for name in events.summary_metadata
    )


def test_without_a_validation_split_the_last_epoch_is_reported(small_run):
    folder = small_run("dataset.val_split=0")
    record = result(folder)
    assert record["selected"] == {"rule": "last epoch", "epoch": 2}
    assert not any(key.startswith("val/") for key in record["metrics"])
    assert [p.name for p in folder.glob("checkpoints/*")] == ["last.ckpt"]


def test_the_same_command_gives_the_same_weights(small_run):
    first, second = small_run(), small_run()
    weights = [
        torch.load(folder / "checkpoints" / "last.ckpt", weights_only=True)["state_dict"]
        for folder in (first, second)
    ]
    assert all(torch.equal(weights[0][key], weights[1][key]) for key in weights[0])


def test_a_run_can_be_loaded_from_its_folder_alone(small_run):
    folder = small_run()
    cfg, parts = load_run(folder)
    parts.datamodule.setup("test")
    state = torch.load(folder / "checkpoints" / "best.ckpt", weights_only=True)["state_dict"]
    assert all(torch.equal(value, state[key]) for key, value in parts.task.state_dict().items())


@pytest.mark.parametrize(
    ("overrides", "sentence"),
    [
        (["model=resnet57"], "model=resnet57: no such choice; did you mean resnet56?"),
        (["optimizer.lrr=1"], "'optimizer.lrr'. No such key; did you mean optimizer.lr?"),
        (
            ["model=ghost_resnet56", "model.ratio=0"],
            "ratio must be a whole number of at least 1, not 0",
        ),
        (["model=ghost_resnet56", "model.ratio=2.5"], "not 2.5"),
        (["dataset.val_split=1"], "in [0, 1), not 1"),
        (["dataset=image_folder", "dataset.root=nowhere"], "nowhere"),
        (["dataset.num_classes=7"], "7"),
        (["callbacks.best.monitor=val/accuracy"], "did you mean val/acc?"),
        (["sched=plateau", "dataset.val_split=0"], "needs a validation split"),
        (["+callbacks.x._target_=os.system"], "outside the allowed packages"),
        (["trainer.max_epochs=0"], "at least 1, not 0"),
        (["resume=nowhere"], "nowhere"),
        (["model=vgg16"], "32"),
        (["model.num_classes=7"], "model.num_classes is 7, but the data set has 10"),
        (["task=arcface"], "this model (ghostexp.models.resnet20) has no cosine head"),
        (["model=efficientnet_v2_s", "model.cosine_head=true"], "task=arcface or task=circle"),
        (
            [
                "task=circle",
                "model=ghost_efficientnet_v2",
                "dataset.augment.mix={_target_: torchvision.transforms.v2.MixUp, num_classes: 10}",
            ],
            "CircleLoss takes one label per input, and dataset.augment.mix makes class shares",
        ),
    ],
)
def test_a_slip_gives_one_sentence_and_leaves_nothing(app, tmp_path, capfd, overrides, sentence):
    assert app(*SMALL, *overrides) == 1
    said = "".join(capfd.readouterr())
    assert sentence in said
    assert "Traceback" not in said
    assert not (tmp_path / "outputs").exists()


def test_a_milestone_past_the_end_is_warned_of(small_run):
    folder = small_run("sched=multistep", "sched.scheduler.milestones=[1,500]")
    assert "milestone 500 is past the last of 2 epochs" in (folder / "train.log").read_text()


def test_a_mistyped_key_in_an_experiment_file_is_named_with_its_file(app, tmp_path, capfd):
    (tmp_path / "ext" / "experiment").mkdir(parents=True)
    (tmp_path / "ext" / "experiment" / "typo.yaml").write_text(
        "# @package _global_\nseeed: 9\noptimizer:\n  lrr: 3\n"
    )
    searchpath = f"hydra.searchpath=[file://{tmp_path}/ext]"
    assert app(*SMALL, "experiment=typo", searchpath) == 1
    said = "".join(capfd.readouterr())
    assert "seeed: no such key" in said
    assert "typo.yaml" in said
    assert "did you mean seed?" in said


def test_third_parties_add_configs_and_classes_without_a_fork(app, tmp_path, monkeypatch):
    (tmp_path / "ext" / "model").mkdir(parents=True)
    (tmp_path / "ext" / "model" / "mine.yaml").write_text(
        "_target_: theirs.net\nnum_classes: ${dataset.num_classes}\n"
    )
    (tmp_path / "theirs.py").write_text(
        "from torch import nn\n"
        "def net(num_classes):\n"
        "    return nn.Sequential(nn.Flatten(), nn.Linear(64, num_classes))\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    arguments = (*SMALL, "trainer.max_epochs=1", f"hydra.searchpath=[file://{tmp_path}/ext]")
    assert app(*arguments, "model=mine") == 1  # not allowed yet
    assert app(*arguments, "model=mine", "allow_targets=[theirs]") == 0


def test_a_bug_keeps_its_traceback_in_the_record_and_the_log(app, tmp_path, monkeypatch, capfd):
    def broken(*args):
        raise RuntimeError("a bug")

    monkeypatch.setattr("ghostexp.runs.fit.describe_device", broken)
    assert app(*SMALL, "trainer.max_epochs=1") == 1
    (folder,) = tmp_path.glob("outputs/train/*")
    said = "".join(capfd.readouterr())
    log = folder.relative_to(tmp_path) / "train.log"
    assert f"error: RuntimeError: a bug (full trace: {log})" in said
    assert "Traceback" not in said
    assert "test_experiment.py" in result(folder)["error"]["traceback"]
    assert "Traceback" in (folder / "train.log").read_text()


def test_a_bug_before_the_run_begins_leaves_its_trace_beside(app, tmp_path, monkeypatch, capfd):
    def broken(*args):
        raise RuntimeError("a bug")

    monkeypatch.setattr("ghostexp.runs.experiment.count_macs", broken)
    monkeypatch.setattr("ghostexp.runs.ending.REFUSED_LOG", tmp_path / "refused.log")
    assert app(*SMALL) == 1
    assert "error: RuntimeError: a bug (full trace: refused.log)" in "".join(capfd.readouterr())
    assert "test_experiment.py" in (tmp_path / "refused.log").read_text()
    assert not (tmp_path / "outputs").exists()


def test_a_full_disk_leaves_the_previous_checkpoint(tmp_path, monkeypatch):
    io = AtomicCheckpointIO()
    io.save_checkpoint({"epoch": 1}, str(tmp_path / "last.ckpt"))

    def full_disk(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full_disk)
    with pytest.raises(OSError, match="No space"):
        io.save_checkpoint({"epoch": 2}, str(tmp_path / "last.ckpt"))
    assert torch.load(tmp_path / "last.ckpt", weights_only=True) == {"epoch": 1}
    assert [path.name for path in tmp_path.iterdir()] == ["last.ckpt"]


def test_ema_weights_are_validated_and_tested(small_run):
    """The file of the chosen epoch has the average in it, and its accuracy is what is reported."""
    run = small_run("callbacks=ema", "callbacks.ema.decay=0.5")
    record = result(run)
    tested = evaluate(subject_of([str(run)]), "test").metrics
    assert tested == {name: record["metrics"][name] for name in tested}
    validated = evaluate(subject_of([str(run)]), "val").metrics
    assert validated["val/acc"] == record["best"]["val/acc"]


def test_help_lists_groups_and_choices_without_loading_torch():
    code = "import sys, runpy; sys.argv = ['train.py', '--help']\n"
    code += f"try:\n    runpy.run_path(r'{ROOT / 'train.py'}', run_name='__main__')\n"
    code += "except SystemExit: pass\nassert 'torch' not in sys.modules, 'torch was loaded'\n"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    for word in ("model=", "ghost_resnet56", "sched=", "cosine", "experiment=", "quickstart"):
        assert word in done.stdout


def test_building_a_network_follows_from_the_seed():
    from ghostexp.config.cli import compose_config

    nets = [build_network(compose_config(["model=resnet20", f"seed={s}"])) for s in (0, 0, 1)]
    first = [next(net.parameters()) for net in nets]
    assert torch.equal(first[0], first[1])
    assert not torch.equal(first[0], first[2])
