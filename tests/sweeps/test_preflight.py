"""The check of a whole sweep before its first job."""

import os
import signal
from pathlib import Path

import pytest
from helpers import SMALL
from PIL import Image


def test_one_bad_grid_point_stops_all_before_the_first_job(app, tmp_path, capfd):
    grid = ("model=ghost_resnet56", "model.ratio=2,0,-3")
    assert app("-m", *SMALL[1:], *grid) == 1
    said = "".join(capfd.readouterr())
    assert "2 of 3 jobs cannot run, so none was started" in said
    assert "model.ratio=0: model: " in said
    assert "model.ratio=-3: model: " in said
    assert "Traceback" not in said
    assert not list(tmp_path.rglob("result.json"))


def test_every_job_is_shown_with_its_size_and_cost(app, capfd):
    assert app("-m", *SMALL[1:], "trainer.max_epochs=1", "model=linear,resnet20") == 0
    said = "".join(capfd.readouterr())
    assert "2 of 2 jobs to do" in said
    assert "272,186" in said  # parameters of ResNet-20 with one input channel
    assert app("-m", *SMALL[1:], "trainer.max_epochs=1", "model=linear,resnet20") == 0
    assert "0 of 2 jobs to do" in "".join(capfd.readouterr())
    more = "model=linear,resnet20,resnet32"
    assert app("-m", *SMALL[1:], "trainer.max_epochs=1", more, "--dry-run") == 0
    told = capfd.readouterr()
    assert "1 of 3 jobs to do" in told.err
    commands = [line for line in told.out.splitlines() if "--job" in line]
    assert [Path(line.split()[-1]).stem for line in commands] == ["model=resnet32"]


def test_a_long_name_of_a_job_stays_whole_in_80_columns(app, capfd, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    swept = ("optimizer.weight_decay=0.0001,0.0005", "sched=cosine,constant", "seed=0,1")
    assert app("-m", *SMALL, *swept, "--dry-run") == 0
    said = "".join(capfd.readouterr())
    table = said.partition("jobs to do")[2].partition("\n/")[0]
    shown = "".join(row.split("│")[1].strip() for row in table.splitlines() if "│" in row)
    assert shown.count("seed=0") == shown.count("seed=1") == 4
    assert "…" not in table


@pytest.mark.parametrize(
    ("swept", "sentence"),
    [
        ("optimizer.lr=0.1,-1", "Invalid learning rate: -1"),
        ("task.loss.label_smoothing=0,2", "label_smoothing"),
        ("trainer.accelerator=cpu,gpu", "trainer"),
        ("seed=0,abc", "abc"),
    ],
)
def test_what_a_job_would_break_on_is_found_before_the_first(app, tmp_path, capfd, swept, sentence):
    assert app("-m", *SMALL, swept) == 1
    said = "".join(capfd.readouterr())
    assert "1 of 2 jobs cannot run, so none was started" in said
    assert sentence in said
    assert "Traceback" not in said
    assert not (tmp_path / "outputs").exists()


def test_one_cause_is_printed_once(app, capfd):
    assert (
        app(
            "-m",
            *(each for each in SMALL if "val_split" not in each),
            "dataset.val_split=7",
            "seed=0,1,2,3,4",
        )
        == 1
    )
    said = "".join(capfd.readouterr())
    assert said.count("not 7") == 1
    assert "seed=0, seed=1 and 3 more: " in said


def test_a_signal_that_a_destructor_swallows_ends_the_check(app, tmp_path, capfd, monkeypatch):
    checked = []

    class Dying:
        def __del__(self):
            os.kill(os.getpid(), signal.SIGTERM)
            len("the handler is called here at the latest")

    def count(*arguments, **keywords):
        checked.append(arguments)
        Dying()
        return 1

    monkeypatch.setattr("ghostexp.sweeps.preflight.count_params", count)
    assert app("-m", *SMALL, "seed=0,1,2") == 143
    assert len(checked) == 1
    assert "Traceback" not in "".join(capfd.readouterr())
    assert not list(tmp_path.rglob("result.json"))


def test_an_unexpected_exception_ends_the_launch(app, tmp_path, capfd, monkeypatch):
    def broken(*arguments, **keywords):
        raise RuntimeError("a bug of ours")

    monkeypatch.setattr("ghostexp.sweeps.preflight.count_macs", broken)
    monkeypatch.setattr("ghostexp.config.cli.REFUSED_LOG", tmp_path / "refused.log")
    assert app("-m", *SMALL, "seed=0,1") == 1
    assert f"error: a bug of ours (full trace: {tmp_path}/refused.log)" in capfd.readouterr().err
    assert "RuntimeError: a bug of ours" in (tmp_path / "refused.log").read_text()
    assert not list(tmp_path.rglob("result.json"))


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (
            ["+model.net.num_classes=1000", "+model.net.weights=DEFAULT"],
            "model.net.weights=DEFAULT: this command downloads nothing, so these weights",
        ),
        (
            ["model.net._target_=timm.create_model", "+model.net.model_name=hf-hub:a/b"],
            "no training step was tried, and the time is unknown: model: model.net.model_name=",
        ),
    ],
)
def test_a_dry_run_fetches_no_weights_of_a_library(
    app, tmp_path, monkeypatch, capfd, words, sentence
):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "hub"))
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hub"))
    words = ["model=converted", *words, "dataset=image_folder", "dataset.root=photos"]
    for label in ("cat", "dog"):
        for part in ("train", "test"):
            folder = tmp_path / "photos" / part / label
            folder.mkdir(parents=True)
            Image.new("RGB", (32, 32)).save(folder / "photo.png")
    assert app("-m", *words, "seed=0,1", "dataset.batch_size=2", "--dry-run") == 0
    said = "".join(capfd.readouterr())
    assert said.count(sentence) == 1
    assert not (tmp_path / "hub").exists()
