"""A search from the command line: alone, killed, and from three launches at once."""

import os
import subprocess
import sys
import time
from contextlib import ExitStack
from importlib.util import find_spec

import pytest
from helpers import ROOT, killed_at_the_end, result
from omegaconf import OmegaConf

from ghostexp.sweeps.outcome import objective
from ghostexp.sweeps.study import open_study

TINY = ("dataset.image_size=8", "debug=fast")
LINEAR = ("model=linear", "hydra.sweeper.params={model.ratio:null}", *TINY)
SLOW = """
import time
import pytorch_lightning as pl

class Slow(pl.Callback):
    def on_train_start(self, trainer, module):
        time.sleep(2)
"""
needs_optuna = pytest.mark.skipif(
    find_spec("optuna") is None, reason="needs the extra: pip install 'ghostexp[optuna]'"
)


def start(folder, *arguments):
    """train.py as a user starts it."""
    return subprocess.Popen(
        [sys.executable, ROOT / "train.py", *arguments],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd=folder,
        env={**os.environ, "PYTHONWARNINGS": "default"},
    )  # fmt: skip


def train(folder, *arguments):
    """Its exit code and output."""
    with killed_at_the_end(start(folder, *arguments)) as process:
        said, _ = process.communicate(timeout=600)
    return process.returncode, said


def study_of(folder):
    storage = f"sqlite:///{folder}/outputs/search/search.db"
    settings = {"study_name": "search", "storage": storage, "direction": "maximize"}
    return open_study(OmegaConf.create(settings))


def values_of_the_runs(folder):
    return sorted(
        objective(result(path.parent)) for path in folder.glob("outputs/search/*/result.json")
    )


@pytest.mark.extras
@needs_optuna
def test_a_search_goes_on_where_it_was_killed(tmp_path):
    command = ["search=optuna", *TINY]  # it varies the ratio of a Ghost network
    code, said = train(tmp_path, *command, "hydra.sweeper.n_trials=2")
    assert code == 0, said
    study = study_of(tmp_path)
    assert [trial.state.name for trial in study.trials] == ["COMPLETE"] * 2
    assert values_of_the_runs(tmp_path) == sorted(trial.value for trial in study.trials)
    killed = study.ask()  # as a killed launch leaves it
    killed.suggest_float("optimizer.lr", 0.005, 0.2, log=True)
    code, said = train(tmp_path, *command, "hydra.sweeper.n_trials=3")
    assert code == 0, said
    trials = study_of(tmp_path).trials
    assert [t.state.name for t in trials] == ["COMPLETE", "COMPLETE", "FAIL", "COMPLETE"]
    assert trials[3].params["optimizer.lr"] == killed.params["optimizer.lr"]
    assert len({trial.params["optimizer.lr"] for trial in trials}) == 3


@pytest.mark.extras
@needs_optuna
def test_three_launches_at_once_share_a_search_and_one_of_them_is_killed(tmp_path):
    (tmp_path / "slow.py").write_text(SLOW)
    command = [
        "search=optuna", *LINEAR, "hydra.sweeper.n_trials=7",
        "+callbacks.slow._target_=slow.Slow", "allow_targets=[slow]",
    ]  # fmt: skip
    with ExitStack() as started:
        launches = [
            started.enter_context(killed_at_the_end(start(tmp_path, *command))) for _ in range(3)
        ]
        killed = launches[0]
        its_run = None
        while its_run is None:  # until it is in the midst of a trial
            assert killed.poll() is None, killed.communicate()
            records = [result(path.parent) for path in tmp_path.glob("outputs/*/*/result.json")]
            mine = [r for r in records if r["pid"] == killed.pid and r["status"] == "running"]
            its_run = mine[0]["run"] if mine else None
            time.sleep(0.05)
        killed.kill()
        for launch in launches[1:]:
            said, _ = launch.communicate(timeout=600)
            assert launch.returncode == 0, said
    trials = study_of(tmp_path).trials
    complete = [trial for trial in trials if trial.state.name == "COMPLETE"]
    assert len(complete) == 7
    assert [trial.state.name for trial in trials if trial not in complete] == ["FAIL"]
    (left,) = (trial for trial in trials if trial.state.name == "FAIL")
    assert its_run == f"optimizer.lr={left.params['optimizer.lr']}"
    rates = [trial.params["optimizer.lr"] for trial in complete]
    assert len(set(rates)) == 7
    assert left.params["optimizer.lr"] in rates
    assert values_of_the_runs(tmp_path) == sorted(trial.value for trial in complete)
    assert len({trial.user_attrs["launch"] for trial in trials}) == 3


@needs_optuna
@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["model=linear"], "the search varies model.ratio, which this config does not have"),
        (["dataset.val_split=0"], "set dataset.val_split above 0"),
        (["hydra.sweeper.params=null"], "a search needs a value to vary"),
    ],
)
def test_what_cannot_be_searched_is_refused(app, tmp_path, capfd, arguments, sentence):
    assert app("search=optuna", *TINY, *arguments) == 1
    said = "".join(capfd.readouterr())
    assert sentence in said
    assert "Traceback" not in said
    assert not (tmp_path / "outputs").exists()


@pytest.mark.skipif(find_spec("optuna") is not None, reason="optuna is installed")
def test_a_missing_optuna_is_named(app, tmp_path, capfd):
    assert app("search=optuna", *TINY) == 1
    assert "pip install 'ghostexp[optuna]'" in "".join(capfd.readouterr())
    assert not (tmp_path / "outputs").exists()
