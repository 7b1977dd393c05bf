"""The table of a report: columns, units, footnotes."""

import pytest

from ghostexp.results.collect import collect
from ghostexp.results.rows import Estimate
from ghostexp.results.table import build_report, circumstances, duration, spread, summary


@pytest.fixture
def report_of(tmp_path):
    return lambda: build_report(collect(tmp_path))


def cells(report, word):
    (column,) = [column for column in report.columns if word in column.header]
    return column.cells


def test_columns_and_units(make_run, report_of):
    make_run("a", ratio=2, acc=0.9211, latency_ms=1.234, throughput=12345.6)
    report = report_of()
    assert [column.header for column in report.columns] == [
        "model.ratio",
        "params, M",
        "MACs, M (multiply-adds)",
        "test accuracy, %, last epoch",
        "paper, %",
        "difference, points",
        "images/s (training)",
        "latency, ms",
        "wall time",
        "status",
    ]
    (row,) = zip(*(column.cells for column in report.columns), strict=True)
    assert row[:5] == ("2", "0.500", "60.00", "92.11", "92.7 [1] [2]")
    assert row[5:] == ("−0.59", "12,346", "1.23", "1:01:01", "finished")
    assert report.notes[1] == "another copy of CIFAR-10: not comparable to the digit"


def test_the_real_cifar10_has_no_caveat(make_run, report_of):
    make_run("a", choices={"model": "ghost_resnet56", "dataset": "cifar10"}, dataset=None)
    assert cells(report_of(), "paper") == ["92.7 [1]"]


def test_other_data_has_no_paper_column(make_run, report_of):
    make_run("a", dataset={"class_names": ["0", "1"]})
    report = report_of()
    assert not [column for column in report.columns if "paper" in column.header]
    assert report.notes == [
        "no published figure belongs to these runs, so there is no column for one"
    ]


def test_rules_of_selection_are_stated(make_run, report_of):
    make_run("a", ratio=2)
    make_run("b", ratio=3, selected={"rule": "best val/acc", "epoch": 1})
    report = report_of()
    assert cells(report, "selected by") == ["last epoch", "best val/acc"]
    assert "test accuracy, %" in [column.header for column in report.columns]


def test_unfinished_runs_keep_their_row(make_run, report_of, monkeypatch):
    monkeypatch.setattr("ghostexp.results.collect.is_alive", lambda record: True)
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
    assert summary(report) == "4 runs: 1 finished, 1 running, 1 interrupted, 1 failed"


def test_a_sweep_without_a_result_yet(make_run, report_of):
    make_run("a", acc=None, status="failed", network=None, selected=None, throughput=None)
    report = report_of()
    assert cells(report, "MACs") == cells(report, "accuracy") == [""]


def test_detection_metric(make_run, report_of):
    make_run("a", metrics={"test/map": 0.269, "test/map_50": 0.5}, dataset=None)
    assert cells(report_of(), "test mAP, %") == ["26.90"]


def test_circumstances_count_their_runs(make_run, report_of):
    make_run("a", ratio=2)
    make_run("b", ratio=3, device="1 x GPU", git={"revision": "f" * 40, "dirty": True})
    facts = circumstances(report_of())
    assert facts["device"] == {"cpu, 2 threads": 1, "1 x GPU": 1}
    assert "ffffffffffff with uncommitted changes" in facts["git"]
    assert facts["versions"] == {"torch 2.15.0": 2}


def test_spread_and_duration():
    assert spread(Estimate(92.104, 0.206, 3)) == "92.10 ± 0.21 (3)"
    assert spread(Estimate(92.104, None, 1)) == "92.10"
    assert spread(Estimate(0.0123, None, 1)) == "0.0123"
    assert spread(None) == duration(None) == ""
    assert duration(Estimate(3599.6, None, 1)) == "1:00:00"


def test_detectors_show_map50_beside_the_papers_map(make_run, report_of):
    make_run(
        "a",
        choices={"model": "faster_rcnn_ghostnet", "dataset": "coco"},
        metrics={"test/map": 0.2511, "test/map_50": 0.4312, "test/map_of_dog": 0.9},
        swept={
            "model.backbone._target_": "ghostexp.models.ghostnet.ghostnet",
            "model.backbone.width_mult": 1.1,
        },
        dataset={"class_names": ["dog"]},
    )
    report = report_of()
    assert cells(report, "test mAP, %, last epoch") == ["25.11"]
    assert cells(report, "test mAP 50, %") == ["43.12"]
    assert cells(report, "paper, %") == ["26.9 [1]"]
