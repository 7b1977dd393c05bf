"""Weights & Biases offline, MLflow in a database, TensorBoard and the CSV file of one run agree."""

import csv
import json
import os
import shutil
import sqlite3
import struct
import subprocess
import sys
from pathlib import Path

import pytest
from board import curves
from helpers import ROOT, SMALL, result

from ghostexp.training.trackers import MLFLOW_ID, WANDB_ID, read_id, write_id

BLOCK, FULL, LAST = 32_768, 1, 4
pytestmark = [
    pytest.mark.extras,
    pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy"),  # MLflow's
]
WORDS = ("tags=[small,first]", "notes='a short try'", "title=Try", "name=shown")


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """Folder of a run that all loggers have watched."""
    folder = tmp_path_factory.mktemp("many")
    done = subprocess.run(
        [sys.executable, ROOT / "train.py", *SMALL, *WORDS, "trainer.max_epochs=2", "logger=many"],
        cwd=folder,
        env=os.environ | {"WANDB_MODE": "offline"},
        text=True,
        capture_output=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "failed" not in done.stderr
    return next((folder / "outputs" / "shown").iterdir())


def wandb_records(folder: Path) -> list:
    """Records of the one offline file of W&B below a run's folder: LevelDB's log format."""
    pb2 = pytest.importorskip("wandb.proto.wandb_internal_pb2")
    (path,) = folder.glob("wandb/offline-run-*/*.wandb")
    content, place, records, whole = path.read_bytes(), 7, [], b""
    while place + 7 <= len(content):
        left = BLOCK - place % BLOCK
        if left < 7:  # too short for a header
            place += left
            continue
        length, kind = struct.unpack_from("<HB", content, place + 4)
        whole += content[place + 7 : place + 7 + length]
        place += 7 + length
        if kind in (FULL, LAST):
            records.append(pb2.Record.FromString(whole))
            whole = b""
    return records


def test_weights_and_biases_agrees_with_the_record(run):
    records = wandb_records(run)
    (begun,) = [record.run for record in records if record.WhichOneof("record_type") == "run"]
    assert begun.run_id == read_id(run / WANDB_ID)
    assert (begun.project, begun.display_name, begun.notes) == ("shown", "Try", "a short try")
    assert set(begun.tags) == {"small", "first"}
    shown = {}
    for record in records:
        for item in record.history.item:
            shown["/".join([item.key, *item.nested_key]).lstrip("/")] = json.loads(item.value_json)
    metrics = result(run)["metrics"]
    assert {key: shown[key] for key in metrics} == pytest.approx(metrics)
    assert [record.exit.exit_code for record in records if record.HasField("exit")] == [0]


def test_mlflow_agrees_with_the_record(run):
    pytest.importorskip("mlflow")
    base = sqlite3.connect(run.parents[1] / "mlflow.db")
    kept = read_id(run / MLFLOW_ID)
    assert base.execute("select run_uuid, status, name from runs").fetchall() == [
        (kept, "FINISHED", "Try")
    ]
    shown = dict(base.execute("select key, value from latest_metrics"))
    metrics = result(run)["metrics"]
    assert {key: shown[key] for key in metrics} == pytest.approx(metrics)
    tags = dict(base.execute("select key, value from tags"))
    assert (tags["small"], tags["mlflow.note.content"]) == ("true", "a short try")
    params = dict(base.execute("select key, value from params"))
    assert params["model._target_"] == result(run)["config"]["model"]["_target_"]


def test_tensorboard_and_the_file_agree_with_the_record(run):
    metrics = result(run)["metrics"]
    with (run / "metrics.csv").open() as file:
        rows = list(csv.DictReader(file))
    last = {key: float(row[key]) for row in rows for key in metrics if row[key]}
    assert last == pytest.approx(metrics)
    compared = {key: value for key, value in metrics.items() if "images_per_s" not in key}
    (shown,) = [tags for tags in curves(run.parent).values() if "test/acc" in tags]
    assert {key: shown[key][-1][1] for key in compared} == pytest.approx(compared, rel=1e-6)


def test_the_record_keeps_what_a_person_said(run):
    config = result(run)["config"]
    assert (config["title"], config["notes"]) == ("Try", "a short try")
    assert config["tags"] == ["small", "first"]


def test_a_resumed_run_goes_on_with_its_run_there(tmp_path):
    pytest.importorskip("wandb")
    from ghostexp.training.trackers import WeightsAndBiases

    (tmp_path / WANDB_ID).write_text("abc")
    assert WeightsAndBiases(str(tmp_path), project="p").version == "abc"
    fresh = [WeightsAndBiases(str(tmp_path / name), project="p").version for name in "ab"]
    assert fresh[0] != fresh[1]
    assert sorted(path.name for path in tmp_path.iterdir()) == [WANDB_ID]


def test_an_identifier_is_that_of_one_folder(tmp_path):
    first, copy, moved = (tmp_path / name / "run.txt" for name in ("first", "copy", "moved"))
    first.parent.mkdir()
    assert read_id(first) is None
    write_id(first, "abc")
    shutil.copytree(first.parent, copy.parent)
    assert (read_id(first), read_id(copy)) == ("abc", None)
    write_id(copy, "def")
    assert (read_id(first), read_id(copy)) == ("abc", "def")
    first.parent.rename(moved.parent)
    assert read_id(moved) == "abc"
    first.parent.mkdir()
    write_id(first, "ghi")  # another run in the place that is free now
    assert (read_id(first), read_id(moved)) == ("ghi", "abc")


def test_a_copied_run_becomes_another_run_there(run):
    copy = run.parents[1] / "copies" / "copy"
    shutil.copytree(run, copy)
    done = subprocess.run(
        [sys.executable, ROOT / "train.py", f"resume={copy}", "trainer.max_epochs=3"],
        cwd=run.parents[2],
        env=os.environ | {"WANDB_MODE": "offline"},
        text=True,
        capture_output=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    for name in (MLFLOW_ID, WANDB_ID):
        assert read_id(copy / name) != read_id(run / name)
    database = sqlite3.connect(run.parents[2] / "outputs" / "mlflow.db")
    ids = {identifier for (identifier,) in database.execute("select run_uuid from runs")}
    assert ids == {read_id(copy / MLFLOW_ID), read_id(run / MLFLOW_ID)}


def test_a_service_that_cannot_be_reached_ends_the_run_before_it_trains(tmp_path, app, capfd):
    words = ["logger=mlflow", "logger.mlflow.tracking_uri=sqlite:////dev/null/base.db"]
    assert app(*SMALL, "trainer.max_epochs=1", *words) == 1
    said = "".join(capfd.readouterr())
    assert "MLflow cannot begin" in said
    assert "Traceback" not in said


def test_a_refused_config_makes_no_database(tmp_path, app):
    assert app("-m", *SMALL, "logger=mlflow", "seed=0,1", "model.num_classes=3") == 1
    assert not list(tmp_path.iterdir())
