"""What a sweep ends with in a terminal of 80 columns."""

import json

import pytest
from omegaconf import OmegaConf

from ghostexp.sweeps.job import Job
from ghostexp.sweeps.outcome import show_outcome

LONG = f"/data/{'a_long_name/' * 9}train"  # of more than 80 columns, which a person wants to copy


@pytest.fixture
def failed(tmp_path):
    """Three jobs, of which the first two failed for the same reason and the last for another."""
    jobs = []
    for seed, message in enumerate(
        [f"dataset.root: no folder {LONG} is there"] * 2 + ["no memory"]
    ):
        folder = tmp_path / "sweep" / f"seed={seed}"
        folder.mkdir(parents=True)
        error = {"type": "UserError", "message": message}
        record = {"schema": 2, "status": "failed", "run": folder.name, "error": error}
        record |= {"config": {}, "metrics": {}, "seed": seed, "swept": {"seed": seed}}
        (folder / "result.json").write_text(json.dumps(record))
        jobs.append(Job(folder, OmegaConf.create(), {}, {}, [], "train.py -m seed=0,1,2"))
    return jobs


def test_each_cause_is_said_once_and_a_long_path_stays_whole(failed, capfd, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    show_outcome(failed[0].directory.parent, failed)
    lines = capfd.readouterr().err.splitlines()
    assert sum(LONG in line for line in lines) == 1
    assert any(line.startswith("seed=0, seed=1: dataset.root") for line in lines)
    assert "seed=2: no memory" in lines
    assert any(line.startswith("next: ghostexp report ") for line in lines)
