"""evaluate, predict and embeddings by engines and exported files: as the run itself, in torch."""

import json
from pathlib import Path

import numpy as np
import pytest
from helpers import main_of
from PIL import Image

from ghostexp.deploy.export import SUFFIXES

onnx = pytest.importorskip("onnx", reason="onnx is an extra")
pytest.importorskip("openvino", reason="openvino is an extra")


@pytest.fixture
def run(small_run, capsys):
    """A run whose whole test split is evaluated."""
    folder = small_run("trainer.limit_test_batches=null")
    capsys.readouterr()
    return folder


@pytest.fixture
def photos(tmp_path):
    """Three images of noise as files."""
    noise = np.random.default_rng(0).integers(0, 256, (3, 8, 8), np.uint8)
    (tmp_path / "photos").mkdir()
    for index, pixels in enumerate(noise):
        Image.fromarray(pixels).save(tmp_path / "photos" / f"{index}.png")
    return tmp_path / "photos"


def say(capsys, script, *words):
    """What a script that succeeds writes."""
    assert main_of(script)([str(word) for word in words]) == 0
    return capsys.readouterr().out


def complain(capsys, script, *words):
    """The one sentence of a script that fails."""
    assert main_of(script)([str(word) for word in words]) == 1
    (sentence,) = capsys.readouterr().err.splitlines()
    return sentence


def right(said):
    (line,) = (line for line in said.splitlines() if line.endswith("test examples are right"))
    return line


def shares(said):
    """Probabilities of each file's classes, as they are told."""
    return [
        {entry["class"]: entry["probability"] for entry in json.loads(line)["top"]}
        for line in said.splitlines()
    ]


def numbers(folder):
    return pytest.approx(json.loads((folder / "embeddings.json").read_text()), abs=1e-3)


WAYS = {  # words after the run, or the file's format -> scripts that are tried so
    "--engine native": ["evaluate", "predict"],
    "--engine onnxruntime": ["embeddings"],
    "--engine openvino": ["evaluate"],
    "onnx": ["predict", "embeddings"],
    "openvino": ["evaluate", "embeddings"],
    "torch_export": ["evaluate", "predict", "embeddings"],
}


@pytest.mark.slow
def test_engines_and_files_say_what_the_run_says(run, photos, tmp_path, capsys):
    evaluated = right(say(capsys, "evaluate", run))
    few = ("--examples", "60", "--out")
    predicted = shares(say(capsys, "predict", run, photos, "--top", "10"))
    say(capsys, "embeddings", run, *few, tmp_path / "torch")
    for way, scripts in WAYS.items():
        words = [run, *way.split()]
        if way in SUFFIXES:
            words = [run / "export" / f"{way}_fp32{SUFFIXES[way]}"]
            say(capsys, "export", run, "--format", way, "--dynamic-batch")
        if "evaluate" in scripts:
            said = say(capsys, "evaluate", *words)
            assert right(said) == evaluated, way
            assert "result.json" not in said or "equal" in said, way
        if "predict" in scripts:
            found = shares(say(capsys, "predict", words[0], photos, *words[1:], "--top", "10"))
            assert found == [pytest.approx(each, abs=1e-4) for each in predicted], way
        if "embeddings" in scripts:
            out = tmp_path / "out"
            say(capsys, "embeddings", *words, *few, out)
            found = json.loads((out / "embeddings.json").read_text())
            assert found == numbers(tmp_path / "torch"), way


@pytest.mark.slow
def test_what_no_engine_and_no_file_can_do_is_one_sentence(run, photos, tmp_path, capsys):
    say(capsys, "export", run, "--format", "torch_export")
    file = run / "export" / "torch_export_fp32.pt2"
    for script, words in {
        "evaluate": [],
        "embeddings": ["--out", "x"],
        "predict": [photos],
    }.items():
        said = complain(capsys, script, file, *words, "--engine", "native")
        assert "--engine is for runs" in said
        assert f"{file} has an engine already" in said
    assert "--out=FOLDER must say" in complain(capsys, "embeddings", file)
    said = complain(capsys, "export", file, "--format", "onnx", "--output", "x.onnx")
    assert "is a file: give the run or the weights" in said
    said = complain(capsys, "evaluate", run, "model.ratio=3")
    assert "model.ratio=3: a run and an exported file keep their values" in said
    said = complain(capsys, "evaluate", file, "dataset.root=there")
    assert "dataset.root=there: the data set of this config lies in no folder" in said
    said = complain(capsys, "evaluate", "model=resnet20")
    assert "without a run, model.weights=FILE must say" in said
    said = complain(capsys, "export", "model=resnet20", "--format", "onnx")
    assert "--output=FILE must say" in said
    said = complain(capsys, "evaluate", "model=resnet20", "model.weights=no.pth")
    assert "weights=no.pth is neither a file nor one of the published" in said


def write_identity(path, metadata):
    """An ONNX file that gives back its input, from somebody else."""
    value = onnx.helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, [1])
    other = onnx.helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, [1])
    node = onnx.helper.make_node("Identity", ["x"], ["y"])
    graph = onnx.helper.make_graph([node], "foreign", [value], [other])
    opset = [onnx.helper.make_opsetid("", 20)]
    model = onnx.helper.make_model(graph, ir_version=10, opset_imports=opset)
    onnx.helper.set_model_props(model, metadata)
    onnx.save(model, path)


def test_files_that_are_not_ours_are_one_sentence(tmp_path, capsys):
    broken = {f"broken{suffix}": b"nothing" for suffix in SUFFIXES.values()}
    for name, content in broken.items():
        (tmp_path / name).write_bytes(content)
        assert f"{name} cannot be loaded: " in complain(capsys, "evaluate", tmp_path / name)
    (tmp_path / "net.pth").write_bytes(b"")
    said = complain(capsys, "evaluate", tmp_path / "net.pth")
    assert "an exported file ends in .onnx, .pt2, .xml, not as net.pth" in said
    write_identity(tmp_path / "foreign.onnx", {})
    said = complain(capsys, "evaluate", tmp_path / "foreign.onnx")
    assert "was not written by ghostexp export: its metadata lack batch, class_names" in said


def test_data_that_moved_are_named(app, tmp_path, capsys):
    noise = np.random.default_rng(0)
    for split, count in {"train": 6, "test": 4}.items():
        for index in range(count):
            file = tmp_path / "photos" / split / "ab"[index % 2] / f"{index}.png"
            file.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(noise.integers(0, 256, (8, 8, 3), np.uint8)).save(file)
    data = ["dataset=image_folder", "dataset.root=photos", "dataset.image_size=8"]
    quiet = ["callbacks.progress=null", "callbacks.summary=null", "trainer.log_every_n_steps=1"]
    assert app("model=resnet20", *data, *quiet, "trainer.max_epochs=1") == 0
    (run,) = (tmp_path / "outputs" / "train").iterdir()
    moved = Path("photos").rename("elsewhere")
    capsys.readouterr()
    assert "photos" in complain(capsys, "evaluate", run)
    evaluated = right(say(capsys, "evaluate", run, f"dataset.root={moved}"))
    assert evaluated.endswith("of 4 test examples are right")
    exporting = ("export", run, f"dataset.root={moved}", "--format", "torch_export")
    say(capsys, *exporting)
    file = run / "export" / "torch_export_fp32.pt2"
    assert f"{file} does not say where its data lie" in complain(capsys, "evaluate", file)
    assert right(say(capsys, "evaluate", file, f"dataset.root={moved}")) == evaluated
    assert len(shares(say(capsys, "predict", file, moved / "test"))) == 4


def test_a_file_whose_data_set_names_foreign_code_is_refused_by_its_name(
    tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    hostile = {"_target_": "os.system", "command": "touch canary"}
    dataset = {"_target_": "ghostexp.data.digits", "num_classes": 10, "in_channels": 1}
    dataset |= {"augment": hostile, "image_size": 8, "batch_size": 4, "seed": 0, "val_split": 0}
    facts = {"class_names": ["a"], "dataset": dataset, "input_shape": [1], "logit_scale": 1.0}
    metadata = {key: json.dumps(fact) for key, fact in facts.items()}
    write_identity(tmp_path / "net.onnx", metadata | {"batch": "any"})
    said = complain(capsys, "evaluate", "net.onnx")
    assert said.startswith("error: net.onnx: ")
    assert "os.system" in said
    assert not (tmp_path / "canary").exists()
