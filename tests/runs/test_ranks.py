"""What the further processes of a run do with its record; tests/test_ddp.py starts real ones."""

import logging
import os
from types import SimpleNamespace

import pytest
import pytorch_lightning as pl

from ghostexp.results.record import new_record, read_record, write_record
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


@pytest.mark.parametrize(
    ("error", "status"), [(ValueError("broken"), "failed"), (SystemExit(1), "interrupted")]
)
def test_the_rank_that_fails_first_closes_the_record(run, error, status):
    def train(*arguments):
        raise error

    with pytest.raises(type(error)):
        ranks.join(run, train)
    record = read_record(run)
    assert record["status"] == status
    if status == "failed":
        assert record["error"]["message"] == "rank 1: broken"
        assert "in train" in record["error"]["traceback"]


def test_a_rank_that_fails_after_rank_0_leaves_its_record(run):
    closed = new_record(checkpoint=None, status="failed", error={"message": "of rank 0"})

    def train(*arguments):
        write_record(run, closed)
        raise RuntimeError("connection closed")

    with pytest.raises(RuntimeError):
        ranks.join(run, train)
    assert read_record(run) == closed


def test_a_rank_that_nobody_here_started_is_refused(run, monkeypatch):
    monkeypatch.setattr(os, "getppid", lambda: 1)
    with pytest.raises(ValueError, match="rank 1 was not started by the process that runs"):
        ranks.join(run, lambda *arguments: None)


@pytest.mark.parametrize(
    ("status", "raised", "message"),
    [
        ("running", RuntimeError, "connection closed"),
        ("failed", ChildProcessError, "rank 1: broken"),
        ("interrupted", KeyboardInterrupt, "^$"),
    ],
)
def test_rank_0_ends_the_others_and_names_the_first_to_fail(run, status, raised, message):
    killed = []
    launcher = SimpleNamespace(kill=killed.append)
    trainer = SimpleNamespace(strategy=SimpleNamespace(launcher=launcher))
    error = {"message": "rank 1: broken", "traceback": "Traceback\n"}
    write_record(run, new_record(checkpoint=None, status=status, error=error))
    with pytest.raises(raised, match=message), ranks.ending_together(trainer, run):
        raise RuntimeError("connection closed")
    assert len(killed) == 1


@pytest.mark.parametrize(
    ("arguments", "repeats"),
    [
        ({"devices": 2}, True),  # Lightning's own choice is then ddp
        ({"devices": 2, "strategy": "ddp"}, True),
        ({"devices": 1, "strategy": "ddp"}, False),
        ({"devices": 2, "strategy": "ddp_spawn"}, False),
        ({"devices": 1}, False),
    ],
)
def test_which_trainers_repeat_the_command_line(tmp_path, arguments, repeats):
    trainer = pl.Trainer(
        accelerator="cpu", logger=False, enable_checkpointing=False, default_root_dir=tmp_path,
        **arguments,
    )  # fmt: skip
    assert ranks.repeats_command(trainer) == repeats
