"""Readable names of metrics and keys."""

import pytest

from ghostexp.results.names import key_name, metric_name, primary_metric


@pytest.mark.parametrize(
    ("metrics", "primary"),
    [
        (["test/map", "test/acc"], "test/acc"),
        (["test/loss", "test/map", "test/map_50"], "test/map"),
        (["test/f1", "test/eer", "train/loss"], "test/eer"),
        (["train/loss"], "test/acc"),
    ],
)
def test_primary_metric(metrics, primary):
    assert primary_metric(metrics) == primary


def test_names_of_axes():
    assert metric_name("test/acc") == "test accuracy, %"
    assert metric_name("test/map_50") == "test mAP 50, %"
    assert metric_name("train/loss") == "training loss"
    assert key_name("optimizer.lr") == "learning rate (optimizer.lr)"
    assert key_name("model.ratio") == "ratio s of all maps to intrinsic maps (model.ratio)"
    assert key_name("task.loss.label_smoothing") == "label smoothing (task.loss.label_smoothing)"
    assert key_name("seed") == "seed"
