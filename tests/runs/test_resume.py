"""A run cut anywhere goes on at that batch and ends with an undisturbed run's weights."""

import csv
import os
import signal
import subprocess
import sys

import fsspec
import numpy as np
import pytest
import torch
from helpers import ROOT, SMALL, assert_same_weights, result
from PIL import Image

from ghostexp.data.pack import pack
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


MORE_CHOICES = [
    ["sched=warmup_cosine", "task.loss.class_weights=balanced"],
    ["+trainer.val_check_interval=0.4"],  # a validation follows the batch that is cut
    ["sched=plateau", "sched.scheduler.patience=0"],
    ["callbacks=early_stopping", "callbacks.early_stopping.patience=3", "optimizer=muon"],
    ["callbacks=finetune", "+callbacks.freeze.blocks_by_epoch={1: 2, 3: -1}", "task=layerwise"],
    ["callbacks=progressive", "callbacks.progressive.image_size=[4, 8]"],
    ["optimizer=adamw", "dataset.val_split=0", "sched=multistep", "dataset.sampler=balanced"],
    ["trainer.accumulate_grad_batches=2", "sched=onecycle", "task=focal"],
    ["callbacks=native"],
]


@pytest.mark.parametrize(
    "overrides",
    [
        [],
        ["callbacks=ema", "callbacks.ema.decay=0.5"],
        *(pytest.param(overrides, marks=pytest.mark.slow) for overrides in MORE_CHOICES),
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
    assert result(folder)["checkpoint"] == "checkpoints/partial.ckpt"  # also from a copied folder
    place = folder.relative_to(tmp_path)
    assert f"going on from {place}/checkpoints/partial.ckpt" in (folder / "train.log").read_text()
    assert not (folder / "checkpoints" / "partial.ckpt").exists()


@pytest.mark.parametrize(
    "overrides", [["callbacks=ema", "callbacks.ema.decay=0.5"], ["sched=plateau"]], ids=str
)
@pytest.mark.slow
def test_a_run_cut_in_a_validation_validates_again(
    small_run, app, tmp_path, monkeypatch, overrides
):
    overrides = [EPOCHS, "trainer.limit_val_batches=3", *overrides]
    undisturbed = small_run(*overrides)
    with monkeypatch.context() as patch:
        cut(patch, send(signal.SIGINT), hook="on_validation_batch_start", at=(2, 1))
        assert app(*SMALL, "name=cut", *overrides) == 130
    (folder,) = tmp_path.glob("outputs/cut/*")
    with monkeypatch.context() as patch:
        trained = cut(patch, lambda: None)
        assert app(f"resume={folder}") == 0
    assert trained == [(3, 0), (3, 1)]
    assert_same_run(undisturbed, folder)


def test_sigterm_in_a_test_ends_the_run(small_run, app, tmp_path, monkeypatch, capfd):
    overrides = ["trainer.limit_test_batches=3"]
    undisturbed = small_run(*overrides)
    tested = []

    def in_test(self, trainer, pl_module, batch, batch_idx, dataloader_idx=0):
        tested.append(batch_idx)
        send(signal.SIGTERM)()

    with monkeypatch.context() as patch:
        patch.setattr(Throughput, "on_test_batch_start", in_test, raising=False)
        assert app(*SMALL, "name=cut", "trainer.max_epochs=2", *overrides) == 143
    assert tested == [0]
    assert "SIGTERM: this run ends after its current batch" in capfd.readouterr().err
    (folder,) = tmp_path.glob("outputs/cut/*")
    assert result(folder)["status"] == "interrupted"
    assert app(f"resume={folder}") == 0
    first, second = result(undisturbed)["metrics"], result(folder)["metrics"]
    assert {k: v for k, v in second.items() if "test/" in k} == {
        k: v for k, v in first.items() if "test/" in k
    }


TRANSFORM = """
import random
import numpy as np
import torch

class Draws:
    def __call__(self, image):
        image = image.rotate(90 * random.randrange(4))
        image = image.point(lambda value: value * np.random.uniform(0.5, 1.5))
        return image.transpose(0) if torch.rand(()) < 0.5 else image
"""
FILES = (
    "dataset=imagenet", "dataset.num_classes=2", "dataset.image_size=8", "dataset.batch_size=4",
    "dataset.val_split=0.2", "dataset.files.num_workers=1", "allow_targets=[draws]",
    "dataset.files.train=[{_target_:draws.Draws}]", "dataset.files.evaluate=[]",
    "dataset.augment.crop_padding=2", "callbacks.partial.every_n_steps=2",
    "model=linear", "model._args_=[{_target_:torch.nn.Flatten},{_target_:torch.nn.Dropout,p:0.5},"
    "{_target_:torch.nn.Linear,in_features:192,out_features:2},"
    "{_target_:torchvision.ops.StochasticDepth,p:0.3,mode:row}]",
    "trainer.max_epochs=3", "trainer.log_every_n_steps=1", "callbacks.progress=null",
    "callbacks.summary=null",
)  # fmt: skip


@pytest.fixture
def files(tmp_path, monkeypatch):
    """A folder of images, and a module with a transform that draws from three generators."""
    (tmp_path / "draws.py").write_text(TRANSFORM)
    monkeypatch.syspath_prepend(tmp_path)
    generator = np.random.default_rng(0)
    for split, count in (("train", 15), ("val", 4)):
        for name in ("one", "two"):
            folder = tmp_path / "images" / split / name
            folder.mkdir(parents=True)
            for number in range(count):
                pixels = generator.integers(256, size=(8, 8, 3), dtype=np.uint8)
                Image.fromarray(pixels).save(folder / f"{number}.png")
    yield (*FILES, f"dataset.root={tmp_path}/images")
    sys.modules.pop("draws", None)


def test_a_killed_run_goes_on_within_its_epoch(files, app, tmp_path, monkeypatch):
    """Dropout, stochastic depth and random transforms do what they would have done."""
    assert app(*files) == 0
    (undisturbed,) = tmp_path.glob("outputs/train/*")
    command = [str(ROOT / "train.py"), *files, "name=killed"]
    code = (
        "import os, signal, sys; from ghostexp.training.callbacks import Throughput\n"
        "def stop(self, trainer, module, batch, index):\n"
        "    if (trainer.current_epoch, index) == (1, 3): os.kill(os.getpid(), signal.SIGKILL)\n"
        "Throughput.on_train_batch_start = stop\n"
        f"import runpy; sys.argv = {command!r}\n"
        "runpy.run_path(sys.argv[0], run_name='__main__')"
    )
    environment = {**os.environ, "PYTHONPATH": f"{ROOT}:{tmp_path}"}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env=environment, capture_output=True, text=True
    )
    assert done.returncode == -signal.SIGKILL, done.stderr
    (killed,) = tmp_path.glob("outputs/killed/*")
    with monkeypatch.context() as patch:
        trained = cut(patch, send(signal.SIGTERM), at=(1, 4))  # once more in the same epoch
        assert app(f"resume={killed}", "allow_targets=[draws]") == 143
    assert trained == [(1, 2), (1, 3), (1, 4)]
    assert app(f"resume={killed}", "allow_targets=[draws]") == 0
    assert_same_run(undisturbed, killed)
    assert curve(killed) == curve(undisturbed)


@pytest.mark.slow
def test_a_run_on_shards_goes_on_within_its_epoch(files, app, tmp_path, monkeypatch):
    """Also from another place than before: the order is that of the shards, wherever they are."""
    pack(tmp_path / "images", tmp_path / "packed", shard_size=1500, seed=0)
    assert len([*(tmp_path / "packed").glob("train-*.tar")]) > 3
    fsspec.filesystem("memory").put(f"{tmp_path}/packed/", "/packed/", recursive=True)
    words = [word for word in files if not word.startswith(("dataset=", "dataset.root="))]
    words += ["dataset=shards", "dataset.window=2"]
    assert app(*words, f"dataset.root={tmp_path}/packed") == 0
    (undisturbed,) = tmp_path.glob("outputs/train/*")
    with monkeypatch.context() as patch:
        cut(patch, send(signal.SIGINT), at=(1, 2))
        assert app(*words, "dataset.root=memory://packed", "name=cut") == 130
    (folder,) = tmp_path.glob("outputs/cut/*")
    with monkeypatch.context() as patch:
        trained = cut(patch, lambda: None)
        assert app(f"resume={folder}", "allow_targets=[draws]") == 0
    assert trained[0] == (1, 3)
    assert_same_run(undisturbed, folder)
    assert curve(folder) == curve(undisturbed)


def curve(folder):
    """The loss of every step, which is logged once."""
    with (folder / "metrics.csv").open(newline="") as file:
        return [
            (row["step"], row["train/loss_step"])
            for row in csv.DictReader(file)
            if row["train/loss_step"]
        ]


@pytest.mark.slow
def test_a_detector_goes_on_within_its_epoch(app, tmp_path, monkeypatch):
    """A detector draws the proposals that it trains on; its task logs the mean of each loss."""
    detector = (
        "model=faster_rcnn_ghostnet_small", "model.backbone.width_mult=0.5",
        "model.min_size=64", "model.max_size=64", "dataset=shapes", "dataset.image_size=[64,64]",
        "dataset.batch_size=2", "task=detection", "callbacks=detection", "optimizer=adamw",
        "sched=constant", "trainer.max_epochs=1", "trainer.precision=32-true",
        "trainer.log_every_n_steps=4",
        "trainer.limit_train_batches=4", "trainer.limit_val_batches=1",
        "trainer.limit_test_batches=1", "callbacks.progress=null", "callbacks.summary=null",
    )  # fmt: skip
    assert app(*detector) == 0
    (undisturbed,) = tmp_path.glob("outputs/train/*")
    with monkeypatch.context() as patch:
        cut(patch, send(signal.SIGINT), at=(0, 1))
        assert app(*detector, "name=cut") == 130
    (folder,) = tmp_path.glob("outputs/cut/*")
    assert not (folder / "checkpoints" / "last.ckpt").exists()
    with monkeypatch.context() as patch:
        trained = cut(patch, lambda: None)
        assert app(f"resume={folder}") == 0
    assert trained == [(0, 2), (0, 3)]
    assert_same_run(undisturbed, folder)


@pytest.mark.slow
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
    assert app(f"resume={folder}", "callbacks=early_stopping") == 1
    said = "".join(capfd.readouterr())
    assert said.count("would choose another part, and only values can change") == 2
    assert result(folder) == before


@pytest.mark.slow
@pytest.mark.parametrize(("first", "then"), [("default", "native"), ("native", "default")])
def test_kernels_may_change_where_a_run_goes_on(small_run, app, tmp_path, monkeypatch, first, then):
    overrides = [EPOCHS, BATCHES, "trainer.precision=32-true"]
    undisturbed = small_run(*overrides)
    with monkeypatch.context() as patch:
        cut(patch, send(signal.SIGINT))
        assert app(*SMALL, "name=cut", *overrides, f"callbacks={first}") == 130
    (folder,) = tmp_path.glob("outputs/cut/*")
    assert app(f"resume={folder}", f"callbacks={then}") == 0
    record = result(folder)
    assert ["native" in change for change in record["segments"][1]["changed"]] == [True, True]
    assert ("native" in record["config"]["callbacks"]) == (then == "native")
    ours, torchs = record["metrics"]["train/loss"], result(undisturbed)["metrics"]["train/loss"]
    assert ours == pytest.approx(torchs, rel=0.02)  # few images, high rate
    assert "our kernels compute the training steps" in (folder / "train.log").read_text()


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


def test_the_checkpoint_of_another_network_is_named_by_its_whole_path(small_run, app, capfd):
    folder = small_run()
    assert app(f"resume={folder}", "model._target_=ghostexp.models.resnet32") == 1
    said = "".join(capfd.readouterr())
    assert f"{folder}/checkpoints/last.ckpt holds the weights of another network" in said
