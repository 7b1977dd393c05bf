"""Reading runs: what is there, what is broken, what is gone."""

import json

import pytest

from ghostexp.results import collect as module
from ghostexp.results.collect import collect, read_run
from ghostexp.results.report import report_on, write_report


def test_finds_runs_at_any_depth_in_numeric_order(make_run, tmp_path):
    for ratio in (10, 2, 9):
        make_run(f"deep/er/ratio={ratio}", ratio=ratio)
    tree = collect(tmp_path)
    assert [run.value("model.ratio") for run in tree.runs] == [2, 9, 10]
    assert tree.runs[0].label == "runs/deep/er/ratio=2"


def test_value_comes_from_swept_then_choices_then_config(make_run):
    run = read_run(make_run("a", ratio=4, swept={"seed": 1}))
    assert run.value("model.ratio") == 4  # the config
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
        ("[]", "no status of a run"),
        ('{"schema": 3, "status": "finished"}', "schema is 3"),
        ('{"schema": 1, "status": "lost"}', "no status of a run"),
        ('{"schema": 1, "status": "failed", "metrics": [1]}', "metrics is no mapping"),
        ('{"schema": 1, "status": "failed", "metrics": {"test/acc": "x"}}', "test/acc is no num"),
        ('{"schema": 1, "status": "failed", "network": {"macs": "1M"}}', "macs is no number"),
        ('{"schema": 1, "status": "failed", "dataset": {"class_names": 3}}', "class_names"),
        ('{"schema": 1, "status": "failed", "dataset": {"num_train": "all"}}', "num_train is no"),
        ('{"schema": 1, "status": "failed", "segments": {"a": 1}}', "segments is no list"),
        ('{"schema": 1, "status": "failed", "segments": [{"git": "x"}]}', "git of a segment is no"),
        ('{"schema": 1, "status": "failed", "config": {"callbacks": [1]}}', "callbacks is no mapp"),
        ("[" * 100_000, "nested too deep"),
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


BROKEN = {
    "metrics.csv": (b"epoch,val/acc\n0,0.5\n\xff\xfe,\n", "metrics.csv cannot be read"),
    "latency.json": (b'{"latency_ms": "fast"', "latency.json holds no latency"),
    "a/metrics.csv": (b"epoch,val/acc\n0," + b"9" * 140_000 + b"\n", "field larger than"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_file_beside_the_record_costs_one_sentence(make_run, tmp_path, name):
    content, reason = BROKEN[name]
    make_run("good")
    folder = make_run("bad", ratio=3)
    (folder / "a").mkdir()
    (folder / name).write_bytes(content)
    report = report_on(tmp_path)
    assert [row.share("test/acc").mean for row in report.rows] == [90, 90]
    (problem,) = report.tree.unreadable
    assert str(folder / name) in problem
    assert reason in problem
    assert "\n" not in problem
    write_report(report, tmp_path / "out")
    assert reason in (tmp_path / "out" / "report.html").read_text()


def test_a_file_that_cannot_be_opened_is_named(make_run):
    path = make_run("a") / "metrics.csv"
    path.unlink()
    path.mkdir()
    (problem,) = read_run(path.parent).problems
    assert str(path) in problem
    assert "Is a directory" in problem


def test_a_saved_config_is_not_read(make_run, tmp_path):
    """Records hold the resolved config: a broken or hostile file beside them does nothing."""
    folder = make_run("a", ratio=4)
    (folder / ".hydra").mkdir()
    (folder / ".hydra" / "config.yaml").write_text("model: [")
    run = read_run(folder)
    assert run.problems == []
    assert run.config["model.ratio"] == 4


def test_nothing_to_read_is_an_error(tmp_path):
    with pytest.raises(ValueError, match="no folder below .* holds a readable result.json"):
        collect(tmp_path)
    with pytest.raises(ValueError, match="is not a folder"):
        collect(tmp_path / "absent")
    with pytest.raises(ValueError, match="is no run: .*result.json is missing"):
        read_run(tmp_path)


def test_whether_a_running_run_still_lives_is_said_by_its_record(make_run, monkeypatch):
    """One definition, that of record.py; the file is left alone."""
    folder = make_run("a", status="running")
    said = {"schema": 2, "status": "interrupted"}
    monkeypatch.setattr(module, "read_record", lambda directory: said)
    assert read_run(folder).status == "interrupted"
    assert json.loads((folder / "result.json").read_text())["status"] == "running"


def test_nan_is_unknown(make_run):
    folder = make_run("a", acc=float("nan"), throughput=float("inf"))
    assert "NaN" in (folder / "result.json").read_text()
    run = read_run(folder)
    assert run.record["metrics"]["test/acc"] is None
    assert run.images_per_s is None


def test_throughput_of_all_launches_counts(make_run):
    assert read_run(make_run("a", throughput=7.0)).images_per_s == 7
    training = {"images": 600, "seconds": 4.0}
    assert read_run(make_run("b", throughput=7.0, training=training)).images_per_s == 150


def test_names_that_are_not_utf8_become_writable(make_run, tmp_path):
    odd = "dog\udcff"  # how Python reads the byte 0xff in a file name
    folder = make_run("a", dataset={"class_names": [odd], "root": odd}, name=odd)
    folder.rename(folder.with_name(odd))
    (run,) = collect(tmp_path).runs
    assert run.label == "runs/dog\\udcff"
    assert run.record["dataset"]["class_names"] == ["dog\\udcff"]
    write_report(report_on(tmp_path), tmp_path / "out", png=True)
    assert "dog\\udcff" in (tmp_path / "out" / "report.html").read_text()


def test_last_line_of_the_error(make_run):
    error = {"type": "RuntimeError", "message": "CUDA error\n  out of memory \n", "traceback": ""}
    run = read_run(make_run("a", status="failed", error=error))
    assert run.last_line_of_error == "RuntimeError: out of memory"


def test_jobs_without_a_record_were_not_started(make_run, tmp_path):
    make_run("ratio=2")
    frozen = tmp_path / "runs" / ".sweep"
    frozen.mkdir()
    for name in ("ratio=2", "ratio=10", "ratio=3"):
        (frozen / f"{name}.yaml").touch()
    assert collect(tmp_path / "runs").not_started == ["ratio=3", "ratio=10"]
