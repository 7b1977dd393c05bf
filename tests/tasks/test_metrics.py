"""Metrics of a config against scikit-learn's, whatever the batches."""

import pytest
import torch
from simple_task import Fixed, make_task, trainer
from sklearn import metrics as sklearn
from torch.utils.data import DataLoader, TensorDataset
from torchmetrics import Metric, classification

from ghostexp.tasks.metrics import SplitMetrics

CLASSES = 4
OPTIONS = {"num_classes": CLASSES}
SHIPPED = {
    "acc_balanced": classification.MulticlassAccuracy(**OPTIONS, average="macro"),
    "precision_macro": classification.MulticlassPrecision(**OPTIONS, average="macro"),
    "recall_macro": classification.MulticlassRecall(**OPTIONS, average="macro"),
    "f1_macro": classification.MulticlassF1Score(**OPTIONS, average="macro"),
    "precision": classification.MulticlassPrecision(**OPTIONS, average="none"),
    "recall": classification.MulticlassRecall(**OPTIONS, average="none"),
    "f1": classification.MulticlassF1Score(**OPTIONS, average="none"),
    "auroc": classification.MulticlassAUROC(**OPTIONS),
    "calibration": classification.MulticlassCalibrationError(**OPTIONS, n_bins=15),
}


@pytest.fixture
def scores():
    """Logits [50, 4] and labels of an unequal number per class."""
    generator = torch.Generator().manual_seed(0)
    labels = torch.tensor([0] * 30 + [1] * 12 + [2] * 5 + [3] * 3)
    logits = torch.randn(50, CLASSES, generator=generator)
    logits[torch.arange(50), labels] += 1
    order = torch.randperm(50, generator=generator)
    return logits[order], labels[order]


def expected_calibration(probabilities, labels):
    """Naeini et al. 2015: |accuracy - confidence| over 15 equal bins, weighted by their sizes."""
    confidences, predicted = probabilities.max(dim=1)
    error = 0.0
    for step in range(15):
        inside = (confidences > step / 15) & (confidences <= (step + 1) / 15)
        if inside.any():
            right = (predicted == labels)[inside].double().mean()
            gap = (right - confidences[inside].double().mean()).abs()
            error += gap.item() * inside.double().mean().item()
    return error


def from_sklearn(logits, labels):
    probabilities = logits.double().softmax(dim=1)
    predicted = logits.argmax(dim=1)
    values = {
        "acc": sklearn.accuracy_score(labels, predicted),
        "acc_balanced": sklearn.balanced_accuracy_score(labels, predicted),
        "auroc": sklearn.roc_auc_score(labels, probabilities, multi_class="ovr", average="macro"),
        "calibration": expected_calibration(probabilities, labels),
    }
    scores = dict(
        zip(
            ("precision", "recall", "f1"),
            sklearn.precision_recall_fscore_support(labels, predicted)[:3],
            strict=True,
        )
    )
    for name, of_classes in scores.items():
        values[f"{name}_macro"] = of_classes.mean()
        values |= {f"{name}_of_{number}": value for number, value in enumerate(of_classes)}
    return values


@pytest.mark.parametrize("split", ["val", "test"])
def test_metrics_are_scikit_learns(tmp_path, scores, split):
    logits, labels = scores
    task = make_task(Fixed(), num_classes=CLASSES, metrics=SHIPPED)
    loader = DataLoader(TensorDataset(logits[:, :, None, None], labels), batch_size=7)
    run = trainer(tmp_path).validate if split == "val" else trainer(tmp_path).test
    (found,) = run(task, loader, verbose=False)
    expected = {f"{split}/{name}": value for name, value in from_sklearn(logits, labels).items()}
    assert found.pop(f"{split}/loss") == pytest.approx(
        sklearn.log_loss(labels, logits.double().softmax(dim=1)), rel=1e-5
    )
    assert found == pytest.approx(expected, abs=1e-6)
    names = task.metrics_of(list(map(str, range(CLASSES))))
    assert names >= found.keys()


def test_an_epoch_begins_anew(scores):
    logits, labels = scores
    metrics = SplitMetrics("val", CLASSES, SHIPPED)
    names = ["ant", "bee", "cat", "dog"]
    metrics.update(logits.flip(1), labels)
    metrics.compute(names)
    for part in zip(logits.split(20), labels.split(20), strict=True):
        metrics.update(*part)
    found = metrics.compute(names)
    expected = from_sklearn(logits, labels)
    assert found["val/acc"].item() == pytest.approx(expected["acc"])
    assert found["val/recall_of_dog"].item() == pytest.approx(expected["recall_of_3"])
    assert metrics.names(names) == found.keys()
    assert "val/recall_of_*" in metrics.names(["*"])


def test_logits_between_0_and_1_are_no_probabilities():
    logits = torch.tensor([[0.9, 0.3, 0.1, 0.0], [0.2, 0.2, 0.9, 0.5]])
    metrics = SplitMetrics("test", CLASSES, {"calibration": SHIPPED["calibration"]})
    metrics.update(logits, torch.tensor([0, 1]))
    found = metrics.compute(["0"] * CLASSES)["test/calibration"].item()
    probabilities = logits.double().softmax(dim=1)
    assert found == pytest.approx(expected_calibration(probabilities, torch.tensor([0, 1])))


def test_a_class_without_an_image_is_told_once(caplog):
    metrics = SplitMetrics("val", CLASSES, SHIPPED)
    for _ in range(2):
        metrics.update(torch.eye(CLASSES)[:2] * 3, torch.tensor([0, 1]))
        assert metrics.compute(list("abcd"))["val/recall_of_a"] == 1
    (record,) = caplog.records
    assert record.getMessage().startswith("metrics of val: No positive samples in targets")


def test_which_way_is_better():
    task = make_task(Fixed(), num_classes=CLASSES, metrics=SHIPPED)
    high = ("val/acc", "train/acc", "val/f1_macro", "val/recall_of_cat", "test/auroc")
    assert all(task.best_is_high(name) is True for name in high)
    low = ("val/loss", "train/loss", "val/calibration")
    assert all(task.best_is_high(name) is False for name in low)


class Median(Metric):
    """A user's own metric, which does not say which way is better."""

    def __init__(self):
        super().__init__()
        self.add_state("logits", [], dist_reduce_fx="cat")

    def update(self, logits, labels):
        self.logits.append(logits.gather(1, labels[:, None]))

    def compute(self):
        return torch.cat(list(self.logits)).median()


def test_ones_own_metric(scores):
    logits, labels = scores
    task = make_task(Fixed(), num_classes=CLASSES, metrics={"median": Median(), "left_out": None})
    task.val_metrics.update(logits, labels)
    found = task.val_metrics.compute([])
    expected = logits[torch.arange(50), labels].median()
    assert found["val/median"] == expected
    assert found.keys() == {"val/acc", "val/median"}
    assert task.best_is_high("val/median") is None


@pytest.mark.parametrize(
    ("name", "metric", "sentence"),
    [
        ("acc", SHIPPED["f1"], "metrics.acc: every classifier logs acc, acc_top5, loss"),
        ("f1", classification.BinaryF1Score(), r"metrics.f1 does not take logits \[N, 4\]"),
        (
            "confusion",
            classification.MulticlassConfusionMatrix(CLASSES),
            r"metrics.confusion gives a tensor of shape \(4, 4\): a metric must give one number",
        ),
        ("roc", classification.MulticlassROC(CLASSES), "metrics.roc gives a tuple"),
    ],
)
def test_a_metric_that_does_not_fit_is_refused(name, metric, sentence):
    with pytest.raises(ValueError, match=sentence):
        make_task(Fixed(), num_classes=CLASSES, metrics={name: metric})
