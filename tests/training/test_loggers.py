"""The metrics file: columns may come later, a second start goes on from its first step."""

import csv

from ghostexp.training.loggers import MetricsFile


def rows(path):
    return list(csv.DictReader(path.read_text().splitlines()))


def test_rows_may_bring_new_columns(tmp_path):
    path = tmp_path / "run" / "metrics.csv"
    logger = MetricsFile(str(path))
    logger.log_metrics({"a": 1.0}, 0)
    logger.log_metrics({"b": 2.0}, 1)
    logger.log_metrics({"a": 3.0, "b": 4.0}, 2)
    assert rows(path) == [
        {"step": "0", "a": "1.0", "b": ""},
        {"step": "1", "a": "", "b": "2.0"},
        {"step": "2", "a": "3.0", "b": "4.0"},
    ]


def test_a_resumed_run_replaces_the_rows_after_its_first_step(tmp_path):
    path = tmp_path / "metrics.csv"
    first = MetricsFile(str(path))
    for step in range(6):
        first.log_metrics({"a": float(step)}, step)
    second = MetricsFile(str(path))
    second.log_metrics({"a": 40.0, "c": 1.0}, 4)
    assert [row["a"] for row in rows(path)] == ["0.0", "1.0", "2.0", "3.0", "40.0"]
    assert [path.name for path in tmp_path.iterdir()] == ["metrics.csv"]
