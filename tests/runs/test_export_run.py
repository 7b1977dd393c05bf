"""Small runs as files: compared on their own examples, their facts in the metadata."""

import json
from dataclasses import replace

import numpy as np
import onnx
import pytest
import torch
from helpers import main_of, result
from omegaconf import OmegaConf
from PIL import Image

from ghostexp.config.build import build
from ghostexp.config.cli import compose_config
from ghostexp.config.explain import UserError
from ghostexp.deploy import compare as comparison
from ghostexp.deploy.compare import compare
from ghostexp.deploy.engines import load_engine
from ghostexp.deploy.export import Form
from ghostexp.runs import export_run as module
from ghostexp.runs.export_run import export_run

GHOST = (  # Ghost-ResNet-20
    "model=converted",
    "model.net._target_=ghostexp.models.resnet20",
    "+model.net.in_channels=1",
)
TONES = (  # a run of seconds
    *("dataset=tones", "model=ghost_efficientnet_v2", "task=arcface"),
    *("model.width_mult=0.25", "model.depth_mult=0.2", "trainer.max_epochs=1"),
    *("trainer.limit_train_batches=2", "trainer.limit_test_batches=1", "name=tones"),
    "trainer.log_every_n_steps=1",
    *("callbacks.progress=null", "callbacks.summary=null"),
)


def export(*arguments: str) -> int:
    """ghostexp export with arguments; the exit code."""
    return main_of("export")([str(argument) for argument in arguments])


def test_a_program_of_a_run_with_its_metadata_and_its_refusals(small_run, capsys, monkeypatch):
    run = small_run(*GHOST)
    capsys.readouterr()
    assert export(run, "--format", "torch_export") == 0
    said = capsys.readouterr().out
    path = run / "export" / "torch_export_fp32.pt2"
    assert f"wrote {path}" in said
    assert "0 of 21 batch norms left" in said
    assert "validation" in said
    record = result(run)
    metadata = load_engine(path).metadata
    assert metadata["digest"] == record["digest"]
    assert json.loads(metadata["class_names"]) == record["dataset"]["class_names"]
    assert metadata["inputs"] == (
        "float32 [N, 1, 8, 8]: grey images, pixels from 0 to 1, less mean, over std"
    )
    assert (metadata["mean"], metadata["std"]) == ("[0.304]", "[0.323]")
    assert (metadata["outputs"], metadata["logit_scale"]) == ("logits", "1.0")
    assert metadata["checkpoint"] == "best.ckpt"
    assert "root" not in json.loads(metadata["dataset"])

    written = path.stat().st_mtime_ns
    assert export(run, "--format", "torch_export") == 1
    assert f"error: {path} exists: --force replaces it" in capsys.readouterr().err
    assert path.stat().st_mtime_ns == written

    monkeypatch.setattr(comparison, "TOLERANCE", -1.0)
    assert export(run, "--format", "torch_export", "--force") == 1
    said = capsys.readouterr().err
    assert f"error: {path} is not what was trained: an output for validation examples" in said
    assert path.stat().st_mtime_ns > written  # it stays, for whoever wants to know why

    assert export(run, "--format", "onnx", "--output", run / "net.pt2") == 1
    assert "ends in .onnx, not as" in capsys.readouterr().err
    assert export(run, "--format", "onnx", "--precision", "bf16") == 1
    assert "--format: onnx is written in fp32, fp16, int8, not bf16" in capsys.readouterr().err
    assert export(run / "none", "--format", "torch_export") == 1
    assert "is no run" in capsys.readouterr().err


@pytest.mark.slow
def test_int8_of_an_audio_run_with_a_cosine_head(app, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "CALIBRATED", 16)
    monkeypatch.setattr(module, "JUDGED", 16)
    assert app(*TONES) == 0
    (run,) = (tmp_path / "outputs" / "tones").iterdir()
    done = export_run([str(run)], Form("onnx", "int8", dynamic_batch=True), None)
    assert [(c.split, c.examples) for c in done.comparisons] == [("training", 480), ("test", 120)]
    assert (done.folded, done.left) == (48, 0)
    weights = onnx.load(done.path).graph.initializer
    assert any(value.data_type == onnx.TensorProto.INT8 for value in weights)
    assert all(0 < c.difference < 0.5 and c.largest <= 1 for c in done.comparisons)
    complaints = [c.accuracy - c.deployed_accuracy > 0.005 for c in done.comparisons]
    assert (done.mismatch is not None) == any(complaints)
    metadata = load_engine(done.path).metadata
    assert metadata["inputs"] == (
        "float32 [N, 1, 64, 63]: log-mel spectrograms in decibels (see dataset), less mean, over"
        " std"
    )
    assert json.loads(metadata["dataset"])["augment"]["log_mel"]["hop_length"] == 64
    assert (metadata["outputs"], metadata["logit_scale"]) == ("cosines", "30.0")


@pytest.fixture
def few_images(tmp_path):
    """An image folder with as many training and validation images of two classes as asked for."""

    def make(**counts):
        noise = np.random.default_rng(0)
        for split, count in {**counts, "test": 2}.items():
            for index in range(count):
                file = tmp_path / "photos" / split / "ab"[index % 2] / f"{index}.png"
                file.parent.mkdir(parents=True, exist_ok=True)
                Image.fromarray(noise.integers(0, 256, (8, 8, 3), np.uint8)).save(file)
        return tmp_path / "photos"

    return make


@pytest.mark.parametrize(
    ("counts", "calibration", "judged"),
    [
        ({"train": 2}, [0], [1]),
        ({"train": 3}, [0], [1, 2]),
        ({"train": 8}, [0, 1], [2, 3, 4, 5, 6, 7]),
        ({"train": 3, "val": 2}, [0, 1, 2], "val"),
    ],
)
def test_int8_is_judged_on_the_validation_split(few_images, calibration, judged, counts):
    data = build(
        OmegaConf.merge(
            compose_config(["dataset=image_folder", "dataset.image_size=8"]).dataset,
            {"root": str(few_images(**counts)), "num_classes": 2, "seed": 0},
        ),
        "dataset",
    )
    data.setup("fit")
    train = module._inputs(data, data.train, 100)
    expected = module._inputs(data, data.val, 100) if judged == "val" else train[judged]
    given = module.int8_examples(data)
    assert torch.equal(given[0], train[calibration])
    assert torch.equal(given[1], expected)


@pytest.mark.slow
def test_int8_of_a_run_with_two_training_images(few_images, app, tmp_path):
    photos = few_images(train=2)
    small = ["model=resnet20", "dataset=image_folder", f"dataset.root={photos}"]
    quiet = ["callbacks.progress=null", "callbacks.summary=null", "trainer.log_every_n_steps=1"]
    assert app(*small, *quiet, "dataset.image_size=8", "trainer.max_epochs=1") == 0
    (run,) = (tmp_path / "outputs" / "train").iterdir()
    done = export_run([str(run)], Form("onnx", "int8"), None)
    assert [(c.split, c.examples) for c in done.comparisons] == [("training", 2), ("test", 2)]


def test_a_comparison_counts_on_known_outputs():
    outputs = torch.tensor([[2.0, 1.0], [0.0, 3.0], [1.0, 0.0], [4.0, 0.0]])
    deployed = outputs + torch.tensor([[0.0, 0.5], [0.0, 0.0], [0.0, 1.5], [0.0, 0.0]])
    batches = [(torch.arange(2), torch.tensor([0, 1])), (torch.arange(2, 4), torch.tensor([0, 1]))]
    c = compare("test", batches, outputs.__getitem__, deployed.__getitem__)
    assert (c.examples, c.difference, c.largest) == (4, 1.5, 4.0)
    assert (c.other_class, c.accuracy, c.deployed_accuracy) == (0.25, 0.75, 0.5)
    assert c.complaint("int8") == (
        "the accuracy on test examples drops by 25.00 points, more than 0.5"
    )
    assert "differs by 1.5, more than 0.0001 of the largest, 4" in c.complaint("fp32")
    limit = replace(c, accuracy=0.911, deployed_accuracy=0.906)
    assert limit.complaint("int8") is None
    same = compare("test", batches, outputs.__getitem__, outputs.__getitem__)
    assert same.complaint("fp32") is None
    assert same.complaint("fp16") is None


def test_a_form_that_a_detector_does_not_have_is_refused_before_anything_loads(tmp_path):
    (tmp_path / ".hydra").mkdir()
    cfg = compose_config(["model=retinanet_ghostnet", "dataset=shapes", "task=detection"])
    OmegaConf.save(cfg, tmp_path / ".hydra" / "config.yaml")
    record = {"schema": 1, "status": "finished", "dataset": {"class_names": ["cell"]}}
    (tmp_path / "result.json").write_text(json.dumps(record))
    for form in (Form("torch_export"), Form("onnx", "fp16"), Form("onnx", dynamic_batch=True)):
        with pytest.raises(UserError, match="a detector is written as onnx in fp32, for one image"):
            export_run([str(tmp_path)], form, None)


def test_a_missing_extra_is_one_sentence(monkeypatch, capsys, tmp_path):
    monkeypatch.setattr("ghostexp.deploy.export.find_spec", lambda name: None)
    assert export(tmp_path, "--format", "openvino") == 1
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert "pip install 'ghostexp[export]'" in said


def test_what_is_no_run_is_refused(tmp_path):
    with pytest.raises(UserError, match="is no run"):
        export_run([str(tmp_path)], Form("torch_export"), None)
