"""Runs of a cross-validation: which make a row, and what its mean is taken over."""

import csv
import io

import pytest

from ghostexp.results.circumstances import caption, circumstances
from ghostexp.results.collect import collect
from ghostexp.results.formats import to_csv
from ghostexp.results.plots import draw
from ghostexp.results.rows import make_rows
from ghostexp.results.table import build_report


@pytest.fixture
def make_fold(make_run):
    """make_fold(fold, seed, acc, ratio=2, folds=5, part="test"): a run of a cross-validation."""

    def make(fold, seed=0, acc=0.9, ratio=2, folds=5, part="test", **fields):
        name = f"{ratio},{folds},{fold},{seed}"
        facts = {"num_train": 80, "fold": fold, "folds": folds, "fold_part": part}
        return make_run(
            name,
            ratio=ratio,
            seed=seed,
            acc=acc,
            config={"dataset.fold": fold, "dataset.folds": folds},
            swept={"model.ratio": ratio, "dataset.fold": fold},
            dataset=facts,
            **fields,
        )

    return make


def accuracy(tmp_path) -> list[str]:
    report = build_report(collect(tmp_path))
    (column,) = [c for c in report.columns if c.header.startswith("test accuracy")]
    return column.cells


def test_folds_make_one_row_with_mean_and_sample_deviation(make_fold, tmp_path):
    for fold, acc in enumerate((0.80, 0.90, 0.85, 0.95, 0.70)):
        make_fold(fold, acc=acc)
    make_fold(0, ratio=4, acc=0.5)
    keys, (first, second) = make_rows(collect(tmp_path).runs)
    assert keys == ["model.ratio"]
    assert [run.value("dataset.fold") for run in first.runs] == [0, 1, 2, 3, 4]
    estimate = first.share("test/acc")
    assert (estimate.n, estimate.over) == (5, "5 folds")
    assert estimate.mean == pytest.approx(84.0)
    assert estimate.std == pytest.approx(9.6177, abs=1e-4)  # sqrt((16+36+1+121+196) / 4)
    assert accuracy(tmp_path) == ["84.00 ± 9.62 (5 folds)", "50.00 (1 of 5 folds)"]
    assert caption([first]) == "image_folder; 2 epochs; 5 folds each"
    assert caption([first, second]).endswith("n = 1 to 5 runs each")


def test_a_fold_that_failed_is_missed(make_fold, tmp_path):
    for fold in range(4):
        make_fold(fold, acc=0.8 + fold / 100)
    make_fold(4, status="failed", acc=None)
    assert accuracy(tmp_path) == ["81.50 ± 1.29 (4 of 5 folds)"]


def test_folds_and_seeds_are_both_named(make_fold, tmp_path):
    for fold in range(5):
        for seed in (0, 1, 2):
            make_fold(fold, seed, acc=0.8)
    make_fold(0, 0, ratio=3)
    make_fold(0, 1, ratio=3)
    make_fold(1, 0, ratio=3)
    assert accuracy(tmp_path) == [
        "80.00 ± 0.00 (5 folds × 3 seeds)",
        "90.00 ± 0.00 (3 runs of 2 of 5 folds and 2 seeds)",
    ]
    report = build_report(collect(tmp_path))
    assert "mean ± sample standard deviation over the folds or seeds in brackets" in report.notes
    remarks = [text.get_text() for text in draw(report.rows, "test/acc")["sweep"].texts]
    assert any("bars: standard deviation over folds and seeds" in text for text in remarks)


def test_seeds_of_one_fold_are_seeds(make_fold, tmp_path):
    make_fold(3, seed=0)
    make_fold(3, seed=1)
    assert accuracy(tmp_path) == ["90.00 ± 0.00 (1 of 5 folds × 2 seeds)"]


def test_five_folds_ten_folds_and_no_folds_stay_apart(make_fold, make_run, tmp_path):
    make_fold(0, folds=5)
    make_fold(1, folds=5)
    make_fold(0, folds=10)
    make_run("none", seed=4)
    keys, rows = make_rows(collect(tmp_path).runs)
    assert keys == ["model.ratio", "dataset.folds"]
    assert [len(row.runs) for row in rows] == [2, 1, 1]


def test_the_same_fold_twice_is_no_second_fold(make_fold, make_run, tmp_path):
    make_fold(0)
    make_run("again", config={"dataset.fold": 0, "dataset.folds": 5})
    _, rows = make_rows(collect(tmp_path).runs)
    assert [len(row.runs) for row in rows] == [1, 1]


def test_validated_folds_have_a_column_of_their_own(make_fold, tmp_path):
    for fold, acc in enumerate((0.7, 0.8)):
        make_fold(fold, folds=2, part="val", metrics={"test/acc": 0.6, "val/acc": acc})
    report = build_report(collect(tmp_path))
    cells = {column.header: column.cells for column in report.columns}
    assert cells["validation accuracy of the folds, %"] == ["75.00 ± 7.07 (2 folds)"]


def test_circumstances_and_the_csv_name_the_folds(make_fold, tmp_path):
    for fold in (0, 1):
        make_fold(fold)
    report = build_report(collect(tmp_path))
    assert circumstances(report.tree.runs)["cross-validation"] == [
        "one of 5 folds is tested by each run"
    ]
    lines = list(csv.DictReader(io.StringIO(to_csv(report))))
    assert [line["dataset.fold"] for line in lines] == ["0", "1"]
