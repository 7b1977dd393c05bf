"""What the further processes of a run do with its record; tests/test_ddp.py starts real ones."""

import json
import logging
import os
from types import SimpleNamespace

import pytest

from ghostexp.files.lock import Lock
from ghostexp.results.record import LOCK, new_record, read_record, write_record
from ghostexp.runs import ranks


@pytest.fixture
def run(tmp_path, monkeypatch):
    """Folder of a run that this process's parent, as it is made to believe, is at work on."""
    (tmp_path / ".hydra").mkdir()
    (tmp_path / ".hydra" / "config.yaml").write_text("seed: 0\n")
    write_record(tmp_path, new_record(checkpoint=None))
    monkeypatch.setattr(os, "getppid", os.getpid)
    monkeypatch.setattr(ranks, "build_parts", lambda cfg: cfg)
    monkeypatch.setattr(ranks.rank_zero_only, "rank", 1)
    with Lock(tmp_path / LOCK):
        yield tmp_path
    logging.disable(logging.NOTSET)


def test_a_further_rank_trains_what_rank_0_saved(run):
    write_record(run, new_record(checkpoint="last.ckpt"))
    seen = []
    ranks.join(run, lambda *arguments: seen.append(arguments))
    ((cfg, record, checkpoint),) = seen
    assert cfg == {"seed": 0}
    assert checkpoint.name == "last.ckpt"
    assert read_record(run) == record


def note(run):
    path = run / ranks.FAILURE
    return json.loads(path.read_text()) if path.exists() else None


@pytest.mark.parametrize(
    ("error", "interrupted"), [(ValueError("broken"), False), (SystemExit(1), True)]
)
def test_the_rank_that_fails_first_leaves_a_note_and_the_record_alone(run, error, interrupted):
    def train(*arguments):
        raise error

    before = read_record(run)
    with pytest.raises(type(error)):
        ranks.join(run, train)
    assert read_record(run) == before
    assert note(run)["interrupted"] == interrupted
    if not interrupted:
        assert note(run)["message"] == "rank 1: broken"
        assert "in train" in note(run)["traceback"]


def test_a_rank_that_fails_after_rank_0_leaves_no_note(run):
    def train(*arguments):
        write_record(run, new_record(checkpoint=None, status="failed"))
        raise RuntimeError("connection closed")

    with pytest.raises(RuntimeError):
        ranks.join(run, train)
    assert note(run) is None


def test_a_rank_that_nobody_here_started_is_refused(run, monkeypatch):
    monkeypatch.setattr(os, "getppid", lambda: 1)
    with pytest.raises(ValueError, match="rank 1 was not started by the process that runs"):
        ranks.join(run, lambda *arguments: None)


@pytest.mark.parametrize(
    ("interrupted", "raised", "message"),
    [
        (None, RuntimeError, "connection closed"),
        (False, ChildProcessError, "rank 1: broken"),
        (True, KeyboardInterrupt, "^$"),
    ],
)
def test_rank_0_ends_the_others_and_names_the_first_to_fail(run, interrupted, raised, message):
    killed = []
    launcher = SimpleNamespace(kill=killed.append)
    trainer = SimpleNamespace(strategy=SimpleNamespace(launcher=launcher))
    error = {"message": "rank 1: broken", "traceback": "Traceback\n", "interrupted": interrupted}

    def fails():
        with ranks.ending_together(trainer, run):
            if interrupted is not None:
                (run / ranks.FAILURE).write_text(json.dumps(error))
            raise RuntimeError("connection closed")

    with pytest.raises(raised, match=message):
        fails()
    assert note(run) is None
    assert len(killed) == 1
