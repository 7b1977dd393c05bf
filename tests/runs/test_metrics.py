"""Metrics of a config through a run that mixes, goes on, is evaluated again and is reported."""

import re

import pytest
from helpers import SMALL, main_of, result

from ghostexp.results.metrics_file import read_curves

MIX = "dataset.augment.mix={_target_:torchvision.transforms.v2.MixUp,num_classes:10,alpha:0.2}"
OF_THREE = "val/recall_of_3"
CHOICE = ("task/metrics=all", f"callbacks.best.monitor={OF_THREE}", "trainer.limit_val_batches=5")
CLASSES = range(10)


def test_chosen_metrics_are_in_all_places(small_run, app, capsys, tmp_path):
    folder = small_run(*CHOICE, MIX, "model=linear", "optimizer.lr=1.0", "trainer.max_epochs=1")
    assert app(f"resume={folder}", "trainer.max_epochs=2") == 0
    record = result(folder)
    names = {"acc_balanced", "precision_macro", "recall_macro", "f1_macro", "auroc", "calibration"}
    names |= {f"{name}_of_{each}" for name in ("precision", "recall", "f1") for each in CLASSES}
    metrics = record["metrics"]
    for split in ("val", "test"):
        assert {f"{split}/{name}" for name in names} <= metrics.keys()
    curves = read_curves(folder)
    assert sorted(curves[OF_THREE]) == [1, 2]
    assert record["selected"]["rule"] == f"best {OF_THREE}"
    assert record["best"] == {OF_THREE: pytest.approx(max(curves[OF_THREE].values()))}
    assert main_of("evaluate")([str(folder)]) == 0
    said = capsys.readouterr().out
    assert "equal" in said
    assert re.search(rf"│ 3 .*│ +{metrics['test/f1_of_3']:.4f} │", said)
    assert f"test/f1_macro {metrics['test/f1_macro']:.4f}" in said
    assert main_of("report")([str(folder.parent)]) == 0
    table = (folder.parent / "report.md").read_text()
    headers, _, cells = [line.split(" | ") for line in table.splitlines() if line[:1] == "|"][:3]
    row = dict(zip(headers, cells, strict=True))
    assert float(row["test F1 macro, %"]) == pytest.approx(100 * metrics["test/f1_macro"], abs=0.01)
    assert float(row["test AUROC"]) == pytest.approx(metrics["test/auroc"], abs=1e-4)
    assert "of 3" not in table  # single classes: metrics.csv, the record, evaluate.py


def test_a_class_that_the_data_do_not_have(app, tmp_path, capsys):
    words = ("task/metrics=recall", "callbacks.best.monitor=val/recall_of_three")
    assert app(*SMALL, *words) == 1
    assert "callbacks.best.monitor=val/recall_of_three: the data have no such class" in (
        capsys.readouterr().out
    )
    assert not list(tmp_path.glob("outputs/**/result.json"))
