"""No two living launches do the same job; those that are gone leave nothing."""

import os
import subprocess
import sys

import pytest

from ghostexp.config.explain import UserError
from ghostexp.sweeps.claim import claimed, why_refused

HOLDER = (
    "import sys, time; from pathlib import Path; from ghostexp.sweeps.claim import claimed\n"
    "with claimed([Path(job) for job in sys.argv[1:]]):\n"
    "    print('held', flush=True); time.sleep(60)"
)


@pytest.fixture
def launch():
    """Another living launch that holds jobs."""
    started = []

    def start(*jobs):
        command = [sys.executable, "-c", HOLDER, *map(str, jobs)]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        started.append(process)
        assert process.stdout.readline() == "held\n"
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()


@pytest.mark.parametrize(
    ("mine", "theirs", "shared"),
    [
        (["seed=0", "seed=1"], ["seed=1"], "seed=1"),
        (["*"], ["*"], "all jobs of the folder"),
        (["*"], ["seed=0"], "all jobs of the folder"),
        (["seed=0"], ["*"], "all jobs of the folder"),
    ],
)
def test_a_job_of_a_living_launch_is_refused(tmp_path, launch, mine, theirs, shared):
    other = launch(*(tmp_path / name for name in theirs))
    sentence = f"process {other.pid} of .* is at work on {shared} already"
    with pytest.raises(UserError, match=sentence), claimed([tmp_path / name for name in mine]):
        raise AssertionError
    assert len(list((tmp_path / ".sweep").glob("launch-*"))) == 1  # nothing of ours is left


def test_a_dry_run_learns_what_is_held_and_holds_nothing(tmp_path, launch):
    other = launch(tmp_path / "seed=1", tmp_path / "seed=2")
    before = sorted(tmp_path.rglob("*"))
    (sentence,) = why_refused([tmp_path / f"seed={seed}" for seed in range(4)])
    assert f"process {other.pid} of " in sentence
    assert " is at work on seed=1 already: wait for it or end it" in sentence
    assert why_refused([tmp_path / "seed=0", tmp_path / "elsewhere" / "seed=1"]) == []
    assert sorted(tmp_path.rglob("*")) == before


def test_launches_of_other_jobs_share_a_folder(tmp_path, launch):
    launch(tmp_path / "seed=0")
    with claimed([tmp_path / "seed=1"]):
        assert len(list((tmp_path / ".sweep").glob("launch-*"))) == 2
    assert len(list((tmp_path / ".sweep").iterdir())) == 1


def test_a_killed_launch_holds_nothing(tmp_path, launch, monkeypatch):
    monkeypatch.chdir(tmp_path)
    killed = launch(tmp_path / "a" / "seed=0")
    killed.kill()
    killed.wait()
    assert list((tmp_path / "a" / ".sweep").glob("launch-*"))
    with claimed([tmp_path / "a" / "seed=0"]):
        assert len(list((tmp_path / "a" / ".sweep").glob("launch-*"))) == 1
    assert not list(tmp_path.iterdir())


def test_several_folders_are_held_at_once(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    jobs = [tmp_path / "a" / "seed=0", tmp_path / "b" / "seed=0"]
    with claimed(jobs):
        for job in jobs:
            with pytest.raises(UserError, match=f"process {os.getpid()}"), claimed([job]):
                raise AssertionError
    assert not list(tmp_path.iterdir())


def test_a_sweep_beside_a_living_one_is_refused(app, tmp_path, launch, capfd):
    launch(tmp_path / "outputs" / "train" / "seed=1")
    tiny = ("model=linear", "dataset.image_size=8", "debug=fast")
    assert app("-m", *tiny, "seed=0,1") == 1
    assert "is at work on seed=1 already: wait for it" in "".join(capfd.readouterr())
    assert not list(tmp_path.rglob("result.json"))
    assert app("-m", *tiny, "seed=2,3") == 0
