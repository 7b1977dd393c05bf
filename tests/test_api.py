import logging
import subprocess
import sys

import pytest
import torch
from helpers import ROOT, SMALL

import ghostexp
from ghostexp.runs.run import Run


@pytest.fixture
def elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_run_is_the_one_that_the_command_makes(elsewhere, app):
    handlers, arguments = logging.getLogger().handlers[:], sys.argv[:]
    run = ghostexp.train([*SMALL, "trainer.max_epochs=1"])
    assert (logging.getLogger().handlers, sys.argv) == (handlers, arguments)
    assert run.status == "finished"
    assert run.directory.parent.resolve() == elsewhere / "outputs" / "train"
    assert app(*SMALL, "trainer.max_epochs=1", "name=command") == 0
    (folder,) = (elsewhere / "outputs" / "command").iterdir()
    other = Run(folder)
    assert run.metrics["test/acc"] == other.metrics["test/acc"]
    assert run.record["digest"] == other.record["digest"]
    weights = other.net.state_dict()
    assert all(torch.equal(value, weights[key]) for key, value in run.net.state_dict().items())
    assert run.record["command"].startswith("ghostexp train ")
    assert "trainer.max_epochs=1" in run.record["command"]


def test_a_sweep_gives_its_runs_and_skips_them_the_second_time(elsewhere, capfd):
    words = [*SMALL, "trainer.max_epochs=1", "name=seeds", "seed=0,1"]
    runs = ghostexp.sweep(words)
    assert [run.status for run in runs] == ["finished"] * 2
    assert [run.directory.name for run in runs] == ["seed=0", "seed=1"]
    ended = [run.record["ended"] for run in runs]
    capfd.readouterr()
    assert [run.record["ended"] for run in ghostexp.sweep(words)] == ended
    assert "finished already" in capfd.readouterr().out
    collected = ghostexp.collect("outputs/seeds")
    assert len(collected.runs) == 2
    assert [row["seed"] for row in collected.rows] == [0, 1]
    assert [row["test/acc"] for row in collected.rows] == [run.metrics["test/acc"] for run in runs]


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["optimizer.lr=-1"], "optimizer: Invalid learning rate: -1"),
        (["model=resnet5"], "resnet56"),
        (["seed=0,1"], "sweep"),
        (["model.ratio=["], "model.ratio"),
        (["optimiser.lr=1"], "optimizer"),
    ],
)
def test_a_slip_is_a_value_error_with_the_commands_sentence(elsewhere, capfd, words, sentence):
    with pytest.raises(ValueError, match=sentence):
        ghostexp.train([*SMALL, *words])
    assert "Traceback" not in capfd.readouterr().err
    assert not (elsewhere / "outputs").exists()


def test_a_sweep_with_a_job_that_cannot_run_starts_none(elsewhere):
    with pytest.raises(ValueError, match="1 of 2 jobs cannot run"):
        ghostexp.sweep([*SMALL, "optimizer.lr=0.1,-1"])
    assert not list(elsewhere.rglob("result.json"))


@pytest.mark.extras
def test_rows_become_a_table_of_pandas():
    collected = ghostexp.collect(ROOT / "outputs" / "published" / "ratio_ablation")
    table = collected.to_pandas()
    assert list(table.columns) == list(collected.rows[0])
    assert table["test/acc"].tolist() == [row["test/acc"] for row in collected.rows]


def test_networks_are_listed_and_made():
    assert "ghostnet_050" in ghostexp.list_models("ghostnet*")
    assert "resnet56" not in ghostexp.list_models("ghostnet*")
    net = ghostexp.create_model("ghost_resnet56", num_classes=5, in_channels=1, ratio=4).eval()
    assert net(torch.zeros(2, 1, 32, 32)).shape == (2, 5)
    with pytest.raises(ValueError, match="did you mean ghost_resnet56"):
        ghostexp.create_model("ghost_resnet65")
    with pytest.raises(ValueError, match="has no ratoi.*ratio"):
        ghostexp.create_model("ghost_resnet56", ratoi=4)


def test_the_package_is_imported_without_torch():
    code = "import ghostexp, sys; ghostexp.__version__; print('torch' in sys.modules)"
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert told.stdout == "False\n"
