"""Class weights and focal loss against scikit-learn and formulas written out."""

import numpy as np
import pytest
import torch
from sklearn.utils.class_weight import compute_class_weight
from torch.nn import functional as F

from ghostexp.training.logit_losses import CrossEntropy, FocalLoss, balanced_weights


@pytest.fixture
def batch():
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(12, 4, dtype=torch.float64, generator=generator)
    return logits, torch.randint(4, (12,), generator=generator)


def test_balanced_weights_are_scikit_learns():
    labels = [0] * 30 + [1] * 12 + [2] * 5 + [3] * 3
    expected = compute_class_weight("balanced", classes=np.arange(4), y=labels)
    counts = {name: labels.count(number) for number, name in enumerate("abcd")}
    assert balanced_weights(counts) == pytest.approx(expected.tolist())
    with pytest.raises(ValueError, match="no training example is of class b, d"):
        balanced_weights({"a": 1, "b": 0, "c": 2, "d": 0})


def test_cross_entropy_counts_examples_by_their_class(batch):
    logits, labels = batch
    weights = [1.0, 2.0, 0.5, 4.0]
    found = CrossEntropy(class_weights=weights).double()(logits, labels)
    each = F.cross_entropy(logits, labels, reduction="none")
    counts = torch.tensor(weights, dtype=torch.float64)[labels]
    assert found.item() == pytest.approx(((counts * each).sum() / counts.sum()).item())
    assert CrossEntropy(label_smoothing=0.1)(logits, labels) == F.cross_entropy(
        logits, labels, label_smoothing=0.1
    )


def test_class_weights_are_in_no_checkpoint():
    loss = CrossEntropy(class_weights=[1.0, 2.0])
    assert not loss.state_dict()
    assert loss.to(torch.float64).weight.dtype == torch.float64


def test_focal_loss_is_equation_5(batch):
    logits, labels = batch
    own = F.one_hot(labels, 4).bool()
    p = torch.where(own, logits.sigmoid(), 1 - logits.sigmoid())
    weight = torch.where(own, 0.3, 0.7)
    expected = -(weight * (1 - p) ** 1.5 * p.log()).sum(1).mean()
    assert FocalLoss(gamma=1.5, alpha=0.3)(*batch).item() == pytest.approx(expected.item())
    unweighted = -((1 - p) ** 1.5 * p.log()).sum(1).mean()
    assert FocalLoss(gamma=1.5, alpha=None)(*batch).item() == pytest.approx(unweighted.item())
    shares = F.one_hot(labels, 4).double()  # as mixup gives them
    torch.testing.assert_close(FocalLoss()(logits, shares), FocalLoss()(*batch))


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda: CrossEntropy(class_weights=[1.0, -1.0]), "numbers of at least 0, not all 0"),
        (lambda: CrossEntropy(class_weights=[0, 0]), "not all 0"),
        (lambda: CrossEntropy(class_weights="balanced"), "stands in a config only"),
        (lambda: FocalLoss(gamma=-1), "an exponent of at least 0, not -1"),
        (lambda: FocalLoss(alpha=2), r"a share in \[0, 1\], or null, not 2"),
    ],
)
def test_other_values_are_refused(make, sentence):
    with pytest.raises(ValueError, match=sentence):
        make()
