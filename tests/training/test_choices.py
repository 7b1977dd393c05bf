"""Every choice of callbacks and loggers works alone, with debug=fast, and with nothing at all."""

import json

import pytest
import torch
from helpers import SMALL, long_ones

from ghostexp.config.choices import CONFIG_FOLDER

FAST = ["debug=fast", "model=resnet20", "dataset.batch_size=8"]
NEEDED = {  # callbacks choice -> what else it takes
    "detection": [
        *("dataset=shapes", "task=detection", "model=retinanet_ghostnet_small"),
        *("dataset.batch_size=2", "dataset.image_size=[32,32]"),
        *("model.min_size=32", "model.max_size=32"),
    ],
    "early_stopping": ["dataset.val_split=0.1"],
    "features": ["model=ghost_resnet56"],
    "margin_warmup": [
        *("model=ghost_efficientnet_v2", "task=arcface"),
        *("model.width_mult=0.25", "model.depth_mult=0.2"),
    ],
}
TRIED = ("default", "fast", "none")
CHOICES = sorted(path.stem for path in (CONFIG_FOLDER / "callbacks").glob("*.yaml"))


@pytest.mark.parametrize(
    "overrides",
    [
        ["debug=limit", "trainer=cpu", "trainer.deterministic=true"],
        ["debug=profiler"],
        ["debug=overfit", "trainer.max_epochs=1"],
    ],
    ids=lambda overrides: overrides[0],
)
def test_choices_of_debug_and_trainer_run(app, tmp_path, overrides):
    words = ["model=linear", "dataset.val_split=0.1", "callbacks=none", "logger=none"]
    assert app(*words, *overrides) == 0
    (record,) = tmp_path.glob("outputs/train/*/result.json")
    assert json.loads(record.read_text())["status"] == "finished"
    profile = record.parent / "fit-profile.txt"
    assert profile.is_file() == ("debug=profiler" in overrides)
    if profile.is_file():
        assert "run_training_batch" in profile.read_text()


def test_debug_nan_names_the_operation(app, tmp_path, capfd):
    root = "model._args_=[{_target_:torch.nn.Flatten},{_target_:torch.nn.Linear,in_features:64"
    words = [f"{root},out_features:10}}]", "model=linear", "dataset.image_size=8"]
    assert app(*words, "debug=nan", "optimizer.lr=1e38", "callbacks=none", "logger=none") == 1
    assert "Traceback" not in (said := "".join(capfd.readouterr()))
    assert "nan" in said.lower()


@pytest.mark.parametrize("choice", ["gpu", "mps"])
def test_a_device_that_is_not_there_is_one_sentence(app, tmp_path, capfd, choice):
    kind = torch.cuda if choice == "gpu" else torch.backends.mps
    if kind.is_available():
        pytest.skip("the device is there")
    assert app("model=linear", f"trainer={choice}") == 1
    said = "".join(capfd.readouterr())
    assert "torch finds no such device on this machine, and trainer.accelerator=auto takes" in said
    assert "Traceback" not in said
    assert not list(tmp_path.glob("outputs/train/*/result.json"))


@pytest.mark.skipif(torch.cuda.is_available(), reason="the device is there")
def test_a_cuda_graph_without_a_gpu_is_one_sentence(app, tmp_path, capfd):
    assert app("model=linear", "callbacks=cuda_graph") == 1
    said = "".join(capfd.readouterr())
    assert "a CUDA graph needs an NVIDIA GPU" in said
    assert "take callbacks=default" in said
    assert "Traceback" not in said
    assert not list(tmp_path.glob("outputs/train/*/result.json"))


@pytest.mark.parametrize("choice", long_ones(CHOICES, long={*CHOICES} - {*TRIED}))
def test_debug_fast_takes_every_choice_of_callbacks(app, tmp_path, choice):
    if choice == "cuda_graph" and not torch.cuda.is_available():
        pytest.skip("a CUDA graph needs an NVIDIA GPU; its refusal has a test")
    overrides = [*FAST, f"callbacks={choice}", *NEEDED.get(choice, [])]
    assert app(*overrides, "logger=tensorboard") == 0
    (folder,) = tmp_path.glob("outputs/train/*")
    assert (folder / "tensorboard").is_dir()
    assert (folder / "checkpoints").is_dir() == (choice != "none")


@pytest.mark.parametrize(
    "overrides",
    [
        ["logger=none", "callbacks=none"],
        ["logger=null", "callbacks=null"],
        ["~logger", "~callbacks"],
    ],
    ids=lambda overrides: overrides[0],
)
def test_a_run_needs_neither_loggers_nor_callbacks(app, tmp_path, capfd, overrides):
    start = [override for override in SMALL if not override.startswith("callbacks.")]
    assert app(*start, "trainer.max_epochs=1", *overrides) == 0
    (folder,) = tmp_path.glob("outputs/train/*")
    left = {path.name for path in folder.rglob("*") if path.is_file()}
    assert left == {"config.yaml", "overrides.yaml", "result.json", "train.log"}
    said = "".join(capfd.readouterr())
    assert "Epoch 0" not in said  # Lightning's own bar
    assert "test accuracy" in said


@pytest.mark.parametrize(
    ("choice", "left"), [("csv", "metrics.csv"), ("tensorboard", "tensorboard")]
)
def test_one_logger_alone(small_run, choice, left):
    folder = small_run("trainer.max_epochs=1", f"logger={choice}")
    both = {"metrics.csv", "tensorboard"}
    assert {path.name for path in folder.iterdir()} & both == {left}


@pytest.mark.parametrize(
    ("overrides", "sentence"),
    [
        (["callbacks=features"], "the network has no Ghost module with a ratio above 1"),
        (
            ["callbacks=features", "model=ghost_resnet56", "callbacks.features.layer=nowhere"],
            "layer 'nowhere' is not one of the network's",
        ),
        (["callbacks=features", "callbacks.features.index=-1"], "at least 0, not -1"),
        (["callbacks=detection"], "callbacks.best.monitor=val/map: the task logs no such metric"),
        (["callbacks=detection", "callbacks.best=null"], "needs task=detection"),
        (["callbacks=margin_warmup"], "choose task=arcface or task=circle"),
        (["callbacks=early_stopping"], "needs a validation split"),
        (["callbacks=finetune", "callbacks.freeze.blocks_by_epoch={0: 99}"], "has 10 blocks"),
        (
            [*NEEDED["detection"], "+callbacks.p._target_=ghostexp.training.callbacks.Pictures"]
            + ["+callbacks.p.directory=x"],
            "a task with test_confusion and a data set whose augment has picture()",
        ),
        (["model=null"], "model=null: a run needs one, choose model=NAME from conf/model"),
    ],
    ids=lambda value: value[0] if isinstance(value, list) else "",
)
def test_what_cannot_work_is_said_before_data_loads(
    app, tmp_path, capfd, monkeypatch, overrides, sentence
):
    def loads(*args):
        raise AssertionError("data were loaded")

    monkeypatch.setattr("ghostexp.data.datamodule.ClassificationData.setup", loads)
    monkeypatch.setattr("ghostexp.data.detection.DetectionData.setup", loads)
    assert app(*FAST, *overrides) == 1
    said = "".join(capfd.readouterr())
    assert sentence in said
    assert "Traceback" not in said


def test_lightning_says_nothing_of_its_own(small_run, capfd):
    small_run("trainer.max_epochs=1")
    said = "".join(capfd.readouterr()).lower()
    for word in (
        "litlogger",
        "tpu available",
        "gpu available",
        "`trainer.fit` stopped",
        "lightning.ai",
    ):
        assert word not in said


@pytest.mark.parametrize("index", ["359", "0,359"], ids=["run", "sweep"])
def test_an_index_past_the_test_images_is_refused_before_the_run(app, tmp_path, capfd, index):
    start = [override for override in SMALL if not override.startswith("model=")]
    multirun = ["-m"] if "," in index else []
    features = ["model=ghost_resnet56", "callbacks=features", f"callbacks.features.index={index}"]
    assert app(*multirun, *start, *features) == 1
    said = "".join(capfd.readouterr())
    assert "features: index is the number of a test image, 0 to 358, not 359" in said
    assert "Traceback" not in said
    assert not list(tmp_path.glob("outputs/**/checkpoints"))
    assert not list(tmp_path.glob("outputs/**/result.json"))
