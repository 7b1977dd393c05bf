"""Scripts on what is broken or unusual: one sentence and exit code 1, or it works."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from helpers import ROOT, main_of
from omegaconf import OmegaConf
from PIL import Image

from ghostexp.config import grants
from ghostexp.config.explain import UserError
from ghostexp.runs.load import load_checkpoint

SCRIPTS = {  # script -> its arguments after the run's folder
    "evaluate": (),
    "predict": ("photo.png",),
    "features": ("--index", "0"),
    "embeddings": (),
    "export": ("--format", "torch_export"),
}
READS_RECORD = ("evaluate", "predict", "export")


@pytest.fixture
def run(trained, tmp_path, monkeypatch):
    """A copy of a trained run, in an empty folder beside a photo."""
    monkeypatch.chdir(tmp_path)
    grants.grant([])
    Image.new("L", (8, 8)).save(tmp_path / "photo.png")
    return shutil.copytree(trained, tmp_path / "run")


def fails_with(capsys, script, run, sentence):
    code = main_of(script)([str(run), *SCRIPTS[script]])
    said = capsys.readouterr()
    assert code == 1
    assert said.err.startswith("error: ")
    assert said.err.count("\n") == 1
    assert sentence in said.err
    assert "Traceback" not in said.err + said.out


CONFIGS = {
    "": "dataset is null",
    "- a\n": "it holds no mapping",
    "a: [1,\n": "line 2: this is no YAML",
    "\x00": "this is no YAML",
    "a: ${b}\n": "Interpolation key 'b' not found",
    "a: 1\n": "dataset is null",
    "model: 3\ndataset: 4\n": "has no _target_",
}


@pytest.mark.parametrize("script", SCRIPTS)
def test_a_broken_config_is_one_sentence(run, capsys, script):
    path = run / ".hydra" / "config.yaml"
    for text, sentence in CONFIGS.items():
        path.write_text(text)
        fails_with(capsys, script, run, sentence)
    path.write_bytes(b"\xff\xfe\x00")
    fails_with(capsys, script, run, str(path))
    path.unlink()
    fails_with(capsys, script, run, "is no run")


@pytest.mark.parametrize("script", SCRIPTS)
def test_a_broken_checkpoint_is_one_sentence(run, capsys, script):
    path = run / "checkpoints" / "best.ckpt"
    whole = path.read_bytes()
    for content in (b"", b"no checkpoint", whole[: len(whole) // 2]):
        path.write_bytes(content)
        fails_with(capsys, script, run, "best.ckpt is")
    for content in ([1, 2], {"state_dict": 3}, {"epoch": 3}):
        torch.save(content, path)
        fails_with(capsys, script, run, "best.ckpt is no checkpoint of a training")
    torch.save({"state_dict": {"net.x": torch.zeros(1)}, "epoch": 0}, path)
    fails_with(capsys, script, run, "these weights do not fit the config of the run")
    shutil.rmtree(run / "checkpoints")
    fails_with(capsys, script, run, "holds no checkpoint yet")


RECORDS = ("", "{", "[]", "3", '{"schema": 1}', '{"schema": 1, "status": "finished", "metrics": 3}')


@pytest.mark.parametrize("script", READS_RECORD)
def test_a_broken_record_is_one_sentence(run, capsys, script):
    for text in RECORDS:
        (run / "result.json").write_text(text)
        fails_with(capsys, script, run, "result.json is not a readable record")


def test_a_record_that_misses_parts_is_read_as_far_as_it_goes(run, capsys):
    record = json.loads((run / "result.json").read_text())
    for key in ("best", "metrics", "device", "digest", "git", "config", "network"):
        record.pop(key)
    (run / "result.json").write_text(json.dumps(record))
    assert main_of("evaluate")([str(run)]) == 0
    assert "result.json holds no test accuracy" in capsys.readouterr().out


def test_no_record_at_all(run, capsys):
    (run / "result.json").unlink()
    assert main_of("evaluate")([str(run)]) == 0
    for script in ("predict", "export"):
        fails_with(capsys, script, run, "has no record with class names")


@pytest.mark.parametrize("script", ["evaluate", "export", "predict"])
def test_a_subclass_of_a_task_is_that_task(run, capsys, monkeypatch, script):
    def load(words):
        raise UserError("this far")  # an export takes long

    monkeypatch.setattr("ghostexp.runs.export_run.subject_of", load)
    Path("subclassing.py").write_text(
        "from ghostexp.tasks import ClassificationTask\nclass Task(ClassificationTask): pass\n"
    )
    monkeypatch.syspath_prepend(Path.cwd())
    path = run / ".hydra" / "config.yaml"
    cfg = OmegaConf.load(path)
    cfg.task._target_ = "subclassing.Task"
    path.write_text(OmegaConf.to_yaml(cfg))
    code = main_of(script)([str(run), *SCRIPTS[script], "--allow-target", "subclassing"])
    said = capsys.readouterr().err
    assert (code, said) == ((1, "error: this far\n") if script == "export" else (0, said))
    sys.modules.pop("subclassing")


def test_a_network_that_sees_grey_says_that_it_reads_a_photo_without_colours(run, capsys):
    Image.new("RGB", (8, 8), "red").save("red.png")
    assert main_of("predict")(["run", "photo.png"]) == 0
    assert capsys.readouterr().err == ""
    assert main_of("predict")(["run", "photo.png", "red.png", "red.png"]) == 0
    said = capsys.readouterr()
    assert said.err == "note: the network sees grey: red.png is read without colours\n"
    assert len(said.out.splitlines()) == 3


@pytest.mark.slow
def test_predictions_end_quietly_with_their_reader(run):
    photos = Path("photos")
    photos.mkdir()
    for index in range(300):
        shutil.copy("photo.png", photos / f"{index}.png")
    command = f"{sys.executable} {ROOT}/scripts/predict.py run photos --batch-size 1"
    done = subprocess.run(
        ["bash", "-c", f"set -o pipefail; {command} --top 10 | head -1"],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 141  # as of every program whose reader is gone
    assert json.loads(done.stdout)["file"] == "photos/0.png"
    assert done.stderr == ""


def test_bad_usage_is_exit_code_2(capsys):
    for script in ("evaluate", "predict", "features", "embeddings", "export", "benchmark"):
        with pytest.raises(SystemExit) as stop:
            main_of(script)(["--no-such-option"])
        assert stop.value.code == 2
    assert "Traceback" not in capsys.readouterr().err


COSTS = {
    "model=resnet57": "model=resnet57: no such choice; did you mean resnet56?",
    "model=null": "model=null: a run needs one",
    "dataset.image_size=abc": "dataset.image_size must be a whole number, not 'abc'",
    "model._target_=torch.hub.load": "of torch a config may name only torch.nn",
    "modle=x": "did you mean model?",
    "model.ratio=[": "error: ",
}


@pytest.mark.parametrize("script", ["complexity", "benchmark"])
def test_overrides_of_scripts_are_told_as_those_of_a_training(
    capsys, tmp_path, monkeypatch, script
):
    monkeypatch.chdir(tmp_path)
    before = ["train"] if script == "benchmark" else []
    for override, sentence in COSTS.items():
        assert main_of(script)([*before, override]) == 1, override
        said = capsys.readouterr()
        assert sentence in said.err, override
        assert said.err.count("\n") == 1
        assert "Traceback" not in said.err + said.out


def test_a_checkpoint_is_plain_data(run):
    assert set(load_checkpoint(run / "checkpoints" / "best.ckpt")) >= {"state_dict", "epoch"}
