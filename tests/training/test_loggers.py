"""The metrics file: columns may come later, a second start goes on from its first step."""

import csv
from importlib.util import find_spec

import pytest
from helpers import SMALL

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


def test_the_loss_of_a_step_stands_at_that_step(small_run):
    """Lightning writes the last value that was logged, whichever step it was of."""
    shown = []
    for log_every in (1, 2):
        folder = small_run(
            "trainer.limit_train_batches=4", f"trainer.log_every_n_steps={log_every}"
        )
        written = rows(folder / "metrics.csv")
        shown.append(
            {row["step"]: row["train/loss_step"] for row in written if row["train/loss_step"]}
        )
    assert list(shown[1]) == ["1", "3", "5", "7"]
    assert shown[1] == {step: shown[0][step] for step in shown[1]}


def test_a_longer_training_keeps_the_result_of_the_shorter_one(tmp_path):
    path = tmp_path / "metrics.csv"
    first = MetricsFile(str(path))
    first.log_metrics({"a": 1.0}, 3)
    first.log_metrics({"test/acc": 0.5}, 4)
    MetricsFile(str(path)).log_metrics({"a": 2.0}, 4)
    assert [(row["step"], row["test/acc"]) for row in rows(path)] == [
        ("3", ""),
        ("4", "0.5"),
        ("4", ""),
    ]
    MetricsFile(str(path)).log_metrics({"test/acc": 0.6}, 4)  # the test alone is done again
    assert [(row["step"], row["test/acc"]) for row in rows(path)] == [("3", ""), ("4", "0.6")]


@pytest.mark.parametrize("package", ["mlflow", "wandb"])
def test_a_missing_extra_is_named(app, capfd, package):
    if find_spec(package) is not None:
        pytest.skip(f"{package} is installed")
    assert app(*SMALL, f"logger={package}") == 1
    said = "".join(capfd.readouterr())
    assert f"logger.{package}: needs the package {package}" in said
    assert f"pip install 'ghostexp[{package}]'" in said
