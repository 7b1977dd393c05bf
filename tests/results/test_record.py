"""Records: atomic, readable after any end of the process."""

import json
import math
import os

import pytest

from ghostexp.files.lock import Lock
from ghostexp.results import identity
from ghostexp.results import record as records


def test_a_record_survives_the_round_trip(tmp_path):
    record = records.new_record(name="x", seed=3)
    with Lock(tmp_path / records.LOCK):
        records.write_record(tmp_path, record)
        assert records.read_record(tmp_path) == json.loads(json.dumps(record))
    assert {"status", "pid", "versions", "git", "command"} <= record.keys()


def test_no_record_reads_as_none(tmp_path):
    assert records.read_record(tmp_path) is None


def test_a_running_record_runs_as_long_as_its_lock_is_held(tmp_path):
    records.write_record(tmp_path, records.new_record())
    with Lock(tmp_path / records.LOCK):
        assert records.read_record(tmp_path)["status"] == "running"
    assert records.read_record(tmp_path)["status"] == "interrupted"
    assert json.loads((tmp_path / "result.json").read_text())["status"] == "running"


def test_a_record_is_strict_json(tmp_path):
    values = {"a": math.nan, "b": [math.inf, 1.5], "c": {"d": -math.inf}}
    records.write_record(tmp_path, {"status": "failed", "metrics": values})

    def refuse(constant):
        raise AssertionError(constant)

    text = (tmp_path / "result.json").read_text()
    read = json.loads(text, parse_constant=refuse)
    assert read["metrics"] == {"a": None, "b": [None, 1.5], "c": {"d": None}}


def test_a_half_written_file_never_replaces_the_old_one(tmp_path, monkeypatch):
    records.write_record(tmp_path, {"schema": 1, "status": "finished"})

    def full_disk(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full_disk)
    with pytest.raises(OSError, match="No space"):
        records.write_record(tmp_path, {"schema": 1, "status": "failed"})
    assert records.read_record(tmp_path)["status"] == "finished"
    assert [path.name for path in tmp_path.iterdir()] == ["result.json"]


@pytest.mark.parametrize(
    ("selected", "read"),
    [
        ({"rule": "last epoch", "epoch": 0}, {"rule": "last epoch", "epoch": 1}),
        ({"rule": "best val/acc", "epoch": 7}, {"rule": "best val/acc", "epoch": 8}),
        (None, None),
        ({"epoch": "x"}, {"epoch": "x"}),  # damaged: told by whoever needs the epoch
    ],
)
def test_the_selected_epoch_of_older_records_counts_from_one(tmp_path, selected, read):
    old = {"schema": 1, "status": "finished", "selected": selected}
    records.write_record(tmp_path, old)
    assert records.read_record(tmp_path) == {"schema": 2, "status": "finished", "selected": read}
    records.write_record(tmp_path, records.read_record(tmp_path))
    assert records.read_record(tmp_path)["selected"] == read  # no second time
    assert records.new_record()["schema"] == 2


def test_a_corrupt_record_is_named(tmp_path):
    for text in ("{", "[]", "3", '{"status": "eaten"}', ""):
        (tmp_path / "result.json").write_text(text)
        with pytest.raises(ValueError, match="result.json is not a readable record"):
            records.read_record(tmp_path)


def test_differences_name_keys_and_values():
    old = {"a": 1, "b": {"c": [1, 2], "d": 3}}
    new = {"a": 1, "b": {"c": [1, 3]}, "e": None}
    assert identity.differences(old, new) == ["b.c: [1, 2] -> [1, 3]", "b.d: 3 -> None"]


def test_digest_depends_on_values_and_not_on_order():
    assert identity.digest({"a": 1, "b": 2}) == identity.digest({"b": 2, "a": 1})
    assert identity.digest({"a": 1}) != identity.digest({"a": 2})


def test_errors_are_described_with_their_traceback():
    try:
        raise ValueError("wrong")
    except ValueError as error:
        described = records.describe_error(error)
    assert described["type"] == "ValueError"
    assert described["message"] == "wrong"
    assert "test_record.py" in described["traceback"]


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["ghostexp convert", "vgg16", "--out", "a b"], "ghostexp convert vgg16 --out 'a b'"),
        (["/lib/ghostexp/commands/train.py", "seed=1"], "ghostexp train seed=1"),
    ],
)
def test_the_command_is_told_as_a_user_types_it(monkeypatch, words, told):
    monkeypatch.setattr("sys.argv", words)
    assert records.command_line() == told
