"""The table of a report: columns, units, footnotes."""

import json

import pytest

from ghostexp.results.collect import collect
from ghostexp.results.columns import UNEQUAL_MACHINES, spread
from ghostexp.results.rows import Estimate
from ghostexp.results.standing import summary
from ghostexp.results.table import build_report


def unchanged(directory):
    """Record of a run, as if its process still lived."""
    return json.loads((directory / "result.json").read_text())


@pytest.fixture
def report_of(tmp_path):
    return lambda: build_report(collect(tmp_path))


def cells(report, word):
    columns = [column for column in report.columns if word in column.header]
    (column,) = [column for column in columns if column.header == word] or columns
    return column.cells


def test_results_come_first_and_units_are_named(make_run, report_of):
    make_run("a", ratio=2, acc=0.9211, latency_ms=1.234, throughput=12345.6, max_epochs=200)
    report = report_of()
    assert [column.header for column in report.columns] == [
        "model.ratio",
        "test accuracy, %, last epoch",
        "paper (200 epochs), %",
        "difference, points",
        "params, M",
        "MACs, M",
        "images/s (training)",
        "latency, ms",
        "wall time",
        "status",
    ]
    (row,) = zip(*(column.cells for column in report.columns), strict=True)
    assert row[:4] == ("2", "92.11", "92.7 [1] [2]", "−0.59")
    assert row[4:] == ("0.500", "60.00", "12,346", "1.23", "1:01:01", "finished")
    assert report.notes[1] == "another copy of CIFAR-10 than the paper's"


def test_columns_without_any_cell_are_left_out(make_run, report_of):
    make_run("a", throughput=None, network=None)
    assert [column.header for column in report_of().columns][-2:] == ["wall time", "status"]


def test_the_real_cifar10_has_no_caveat(make_run, report_of):
    choices = {"model": "ghost_resnet56", "dataset": "cifar10"}
    make_run("a", choices=choices, dataset=None, max_epochs=200)
    assert cells(report_of(), "paper") == ["92.7 [1]"]


def test_another_budget_has_no_difference(make_run, report_of):
    """The paper's figure stands there with its budget, and a note says why none is given."""
    make_run("a", ratio=2, max_epochs=200, acc=0.92)
    make_run("b", ratio=1, max_epochs=12, acc=0.80)
    report = report_of()
    assert cells(report, "paper (200 epochs)") == ["93.0 [1] [2] [3]", "92.7 [4] [3]"]
    assert cells(report, "difference") == ["", "−0.70"]
    assert "for 12 epochs instead of 200" in report.notes[1]
    assert cells(report, "epochs") == ["12", "200"]


def test_without_any_equal_budget_there_is_no_column_of_differences(make_run, report_of):
    make_run("a", ratio=2, max_epochs=12)
    headers = [column.header for column in report_of().columns]
    assert "paper (200 epochs), %" in headers
    assert not any("difference" in header for header in headers)


def test_other_data_has_no_paper_column(make_run, report_of):
    make_run("a", dataset={"class_names": ["0", "1"]})
    report = report_of()
    assert not [column for column in report.columns if "paper" in column.header]
    assert report.notes == [
        "no published figure belongs to these runs, so there is no column for one"
    ]


def test_results_on_different_data_say_on_which(make_run, report_of):
    for dataset in ("fsdd", "digits"):
        choices = {"model": "ghostnet", "dataset": dataset, "task": dataset, "sched": dataset}
        make_run(dataset, choices=choices | {"optimizer": dataset}, dataset=None)
    report = report_of()
    assert len(report.keys) > 3
    assert cells(report, "dataset") == ["digits", "fsdd"]


@pytest.mark.parametrize(
    ("of_b", "is_marked"),
    [({}, False), ({"device": "1 x GPU"}, True), ({"precision": "bf16-mixed"}, True)]
    + [({"segments": [{"device": "1 x GPU", "precision": "32-true"}, {}]}, True)],
)
def test_speeds_of_unlike_machines_are_marked(make_run, report_of, of_b, is_marked):
    make_run("a", ratio=2, precision="32-true")
    make_run("b", ratio=3, **{"precision": "32-true", **of_b})
    report = report_of()
    headers = [column.header for column in report.columns]
    for name in ("images/s (training)", "wall time"):
        (header,) = (each for each in headers if each.startswith(name))
        assert (header != name) == is_marked
    assert (UNEQUAL_MACHINES in report.notes) == is_marked


def test_mixed_recipes_have_one_short_label_and_a_legend(make_run, report_of):
    for number in range(6):
        config = {f"optimizer.key{bit}": number >> bit & 1 for bit in range(3)}
        make_run(f"{number}", ratio=number + 1, config=config, swept={})
    report = report_of()
    assert report.columns[0].header == "run"
    assert report.columns[1].header.startswith("test accuracy")
    assert report.columns[0].cells == [f"ratio={number + 1}" for number in range(6)]
    label, folder, recipe = report.legend[5]
    assert (label, folder) == ("ratio=6", "runs/5")
    assert recipe.startswith("model.ratio=6, optimizer.key0=1, optimizer.key1=0")


def test_a_refused_run_adds_no_column(make_run, report_of):
    for ratio in (2, 3):
        make_run(f"{ratio}", ratio=ratio)
    before = [column.header for column in report_of().columns]
    strange = {f"dataset.key{number}": number for number in range(47)}
    error = {"type": "UserError", "message": "no"}
    make_run("bad", acc=None, status="failed", config=strange, max_epochs=99, error=error, ratio=5)
    report = report_of()
    assert [column.header for column in report.columns] == before
    assert cells(report, "ratio") == ["2", "3", "5"]


def test_rules_of_selection_are_stated(make_run, report_of):
    make_run("a", ratio=2)
    make_run("b", ratio=3, selected={"rule": "best val/acc", "epoch": 1})
    report = report_of()
    assert cells(report, "selected by") == ["last epoch", "best val/acc"]
    assert "test accuracy, %" in [column.header for column in report.columns]


def test_unfinished_runs_keep_their_row(make_run, report_of, monkeypatch):
    monkeypatch.setattr("ghostexp.results.collect.read_record", unchanged)
    make_run("a", ratio=2, seed=0)
    make_run("b", ratio=2, seed=1, acc=None, status="interrupted")
    make_run("c", ratio=3, acc=None, status="failed")
    make_run("d", ratio=4, acc=None, status="running", epochs=None, max_epochs=9)
    report = report_of()
    assert cells(report, "status") == [
        "1 finished, 1 interrupted",
        "failed",
        "running, 2 of 9 epochs",
    ]
    assert cells(report, "accuracy") == ["90.00", "", ""]
    assert summary(report.tree) == "4 runs: 1 finished, 1 running, 1 interrupted, 1 failed"


def test_a_sweep_without_a_result_yet(make_run, report_of):
    make_run("a", acc=None, status="failed", network=None, selected=None, throughput=None)
    assert cells(report_of(), "accuracy") == [""]


def test_detection_metric(make_run, report_of):
    make_run("a", metrics={"test/map": 0.269, "test/map_50": 0.5}, dataset=None)
    assert cells(report_of(), "test mAP, %") == ["26.90"]


def test_spread():
    assert spread(Estimate(92.104, 0.206, 3)) == "92.10 ± 0.21 (3)"
    assert spread(Estimate(92.104, None, 1)) == "92.10"
    assert spread(Estimate(0.0123, None, 1)) == "0.0123"
    assert spread(None) == ""


def test_detectors_show_map50_beside_the_papers_map(make_run, report_of):
    make_run(
        "a",
        choices={"model": "faster_rcnn_ghostnet", "dataset": "coco"},
        metrics={"test/map": 0.2511, "test/map_50": 0.4312, "test/map_of_dog": 0.9},
        config={
            "model._target_": "ghostexp.models.detection.faster_rcnn_ghostnet",
            "model.backbone._target_": "ghostexp.models.ghostnet.ghostnet",
            "model.backbone.width_mult": 1.1,
            "model.heads.channels": 256,
            "model.min_size": 800,
            "model.max_size": 1333,
        },
        swept={},
        dataset={"class_names": ["dog"]},
    )
    report = report_of()
    assert cells(report, "test mAP, %, last epoch") == ["25.11"]
    assert cells(report, "test mAP 50, %") == ["43.12"]
    assert cells(report, "paper (12 epochs), %") == ["26.9 [1] [2]"]
    assert "2 epochs instead of 12" in report.notes[1]
