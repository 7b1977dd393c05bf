"""Reading runs: what is there, what is broken, what is gone."""

import json

import pytest

from ghostexp.results import collect as module
from ghostexp.results.collect import as_number, collect, natural, read_curves, read_run


def test_finds_runs_at_any_depth_in_numeric_order(make_run, tmp_path):
    for ratio in (10, 2, 9):
        make_run(f"deep/er/ratio={ratio}", ratio=ratio)
    tree = collect(tmp_path)
    assert [run.value("model.ratio") for run in tree.runs] == [2, 9, 10]
    assert tree.runs[0].label == "runs/deep/er/ratio=2"


def test_value_comes_from_swept_then_choices_then_config(make_run):
    run = read_run(make_run("a", ratio=4, swept={"seed": 1}))
    assert run.value("model.ratio") == 4  # config.yaml
    assert run.value("model") == "ghost_resnet56"  # choice
    assert run.value("seed") == 1  # swept, against the record's 0
    assert run.value("optimizer.lr") is None


def test_a_record_of_schema_and_status_alone_is_a_run(tmp_path):
    (tmp_path / "result.json").write_text('{"schema": 1, "status": "failed", "metrics": null}')
    (run,) = collect(tmp_path).runs
    assert run.status == "failed"
    assert run.record["metrics"] == run.record["network"] == {}
    assert run.last_line_of_error == ""


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("{", "Expecting property name"),
        ("[]", "no JSON object"),
        ('{"schema": 2, "status": "finished"}', "schema is 2"),
        ('{"schema": 1, "status": "lost"}', "status is 'lost'"),
        ('{"schema": 1, "status": "failed", "metrics": [1]}', "metrics is no mapping"),
        ('{"schema": 1, "status": "failed", "metrics": {"test/acc": "x"}}', "test/acc is no num"),
        ('{"schema": 1, "status": "failed", "network": {"macs": "1M"}}', "macs is no number"),
        ('{"schema": 1, "status": "failed", "dataset": {"class_names": 3}}', "class_names"),
    ],
)
def test_an_unreadable_record_is_named_and_not_fatal(make_run, tmp_path, text, reason):
    make_run("good")
    bad = make_run("bad") / "result.json"
    bad.write_text(text)
    tree = collect(tmp_path)
    assert len(tree.runs) == 1
    (problem,) = tree.unreadable
    assert str(bad) in problem
    assert reason in problem
    assert "\n" not in problem


def test_an_unreadable_config_is_named(make_run):
    folder = make_run("a")
    (folder / ".hydra" / "config.yaml").write_text("model: [")
    with pytest.raises(ValueError, match="config.yaml"):
        read_run(folder)


def test_nothing_to_read_is_an_error(tmp_path):
    with pytest.raises(ValueError, match="holds no readable result.json"):
        collect(tmp_path)
    with pytest.raises(ValueError, match="is not a folder"):
        collect(tmp_path / "absent")
    with pytest.raises(ValueError, match="is no run: .*result.json is missing"):
        read_run(tmp_path)


@pytest.mark.parametrize(("alive", "status"), [(True, "running"), (False, "interrupted")])
def test_a_running_record_whose_process_is_gone_was_interrupted(
    make_run, monkeypatch, alive, status
):
    folder = make_run("a", status="running", pid=1, process_started=2.0)
    monkeypatch.setattr(module, "is_alive", lambda record: alive and record["pid"] == 1)
    assert read_run(folder).status == status
    assert json.loads((folder / "result.json").read_text())["status"] == "running"  # left alone


def test_last_line_of_the_error(make_run):
    error = {"type": "RuntimeError", "message": "CUDA error\n  out of memory \n", "traceback": ""}
    run = read_run(make_run("a", status="failed", error=error))
    assert run.last_line_of_error == "RuntimeError: out of memory"


def test_curves_take_the_last_value_of_an_epoch(make_run):
    folder = make_run("a", losses=(2.0, 1.5, 1.0))
    curves = read_curves(folder)
    assert curves["train/loss"] == {0: 2.0, 1: 1.5, 2: 1.0}
    assert curves["val/acc"] == {0: 0.0, 1: 0.25, 2: 0.5}


def test_curves_of_lightnings_logger_across_versions_and_a_cut_line(tmp_path):
    for version, text in {
        "version_2": "epoch,step,train/loss_epoch\n0,1,3.0\n1,2,2.0\n",
        "version_10": "epoch,step,train/loss_epoch\n1.0,2,1.0\n2,3,0.5\n3",
    }.items():
        folder = tmp_path / "logs" / version
        folder.mkdir(parents=True)
        (folder / "metrics.csv").write_text(text)
    assert read_curves(tmp_path)["train/loss"] == {0: 3.0, 1: 1.0, 2: 0.5}


def test_jobs_without_a_record_were_not_started(make_run, tmp_path):
    make_run("ratio=2")
    frozen = tmp_path / "runs" / ".sweep"
    frozen.mkdir()
    for name in ("ratio=2", "ratio=10", "ratio=3"):
        (frozen / f"{name}.yaml").touch()
    assert collect(tmp_path / "runs").not_started == ["ratio=3", "ratio=10"]


def test_the_runs_own_folder_is_no_difference(make_run):
    folder = make_run("a")
    config = folder / ".hydra" / "config.yaml"
    config.write_text(f"run_dir: {folder}\nlogger:\n  path: {folder}/metrics.csv\n")
    assert read_run(folder).config == {"logger.path": "RUN_DIR/metrics.csv"}


def test_natural_order_and_numbers():
    assert sorted(["s=10", "s=2", "s=1.5"], key=natural) == ["s=1.5", "s=2", "s=10"]
    assert as_number("1e-3") == 0.001
    assert as_number("") is None
    assert as_number(True) is None
    assert as_number([1]) is None
