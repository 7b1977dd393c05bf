"""ArcFace and Circle loss against their papers' formulas, written out in float64."""

from math import acos, cos, exp, log, pi, sin

import pytest
import torch
from torch.nn import functional as F

from ghostexp.training.losses import ArcFace, CircleLoss

LOSSES = [ArcFace(margin=0.5), ArcFace(margin=0.5, easy_margin=True), CircleLoss()]


@pytest.fixture
def batch():
    """Cosines [40, 6] all over [-1, 1], and labels."""
    generator = torch.Generator().manual_seed(0)
    cosines = torch.rand(40, 6, dtype=torch.float64, generator=generator) * 1.98 - 0.99
    labels = torch.randint(6, (40,), generator=generator)
    cosines[0, labels[0]] = -0.985  # theta + margin is beyond pi
    return cosines, labels


def softmax_loss(logits, label):
    return log(sum(exp(logit - logits[label]) for logit in logits))


@pytest.mark.parametrize("easy_margin", [False, True])
@pytest.mark.parametrize(("margin", "scale"), [(0.5, 64.0), (0.2, 30.0)])
def test_arcface_is_equation_3(batch, margin, scale, easy_margin):
    losses = []
    for row, label in zip(*(tensor.tolist() for tensor in batch), strict=True):
        theta = acos(row[label])
        moved = cos(theta + margin)
        if easy_margin and theta > pi / 2:
            moved = row[label]
        elif not easy_margin and theta + margin > pi:
            moved = row[label] - margin * sin(margin)
        row[label] = moved
        losses.append(softmax_loss([scale * value for value in row], label))
    found = ArcFace(margin=margin, scale=scale, easy_margin=easy_margin)(*batch)
    assert found.item() == pytest.approx(sum(losses) / len(losses), rel=1e-10)


def test_the_true_logit_falls_with_the_angle_all_the_way():
    angles = torch.linspace(0.01, pi - 0.01, 500, dtype=torch.float64)
    cosines = torch.stack([angles.cos(), torch.zeros_like(angles)], dim=1)
    label = torch.tensor([0])
    loss = ArcFace(margin=0.5, scale=4.0)
    losses = torch.stack([loss(row[None], label) for row in cosines])
    assert (losses.diff() > 0).all()


def test_without_margin_arcface_is_scaled_softmax(batch):
    cosines, labels = batch
    expected = F.cross_entropy(30 * cosines, labels)
    for easy_margin in (False, True):
        loss = ArcFace(margin=0.0, scale=30.0, easy_margin=easy_margin)
        torch.testing.assert_close(loss(cosines, labels), expected, rtol=1e-12, atol=0)


@pytest.mark.parametrize(("margin", "scale"), [(0.25, 64.0), (0.4, 32.0)])
def test_circle_loss_is_equation_6(batch, margin, scale):
    losses = []
    for row, label in zip(*(tensor.tolist() for tensor in batch), strict=True):
        positive = row.pop(label)
        to_true = scale * max(0, 1 + margin - positive) * (positive - (1 - margin))
        to_others = [scale * max(0, other + margin) * (other - margin) for other in row]
        losses.append(softmax_loss([to_true, *to_others], 0))
    found = CircleLoss(margin=margin, scale=scale)(*batch)
    assert found.item() == pytest.approx(sum(losses) / len(losses), rel=1e-10)


def test_gradients_of_circle_loss_are_equations_10_and_11():
    margin, scale = 0.25, 8.0
    cosines = torch.tensor([[0.7, 0.2, -0.1, 0.5]], dtype=torch.float64, requires_grad=True)
    loss = CircleLoss(margin=margin, scale=scale)(cosines, torch.tensor([0]))
    loss.backward()
    positive, *others = cosines.tolist()[0]
    z = 1 - exp(-loss.item())
    powers = [exp(scale * (other**2 - margin**2)) for other in others]
    expected = [z * scale * (positive - 1 - margin)]
    expected += [
        z * power / sum(powers) * scale * (other + margin)
        for power, other in zip(powers, others, strict=True)
    ]
    assert cosines.grad[0].tolist() == pytest.approx(expected, rel=1e-10)


@pytest.mark.parametrize(
    "make", [lambda: ArcFace(margin=0.5, scale=30.0), lambda: CircleLoss(scale=30.0)]
)
def test_in_evaluation_a_margin_is_left_out(batch, make):
    cosines, labels = batch
    loss = make()
    expected = F.cross_entropy(30 * cosines, labels)
    assert not torch.isclose(loss(cosines, labels), expected)
    torch.testing.assert_close(loss.eval()(cosines, labels), expected, rtol=1e-12, atol=0)


@pytest.mark.parametrize("loss", LOSSES)
def test_gradients_are_finite_at_the_ends(loss):
    cosines = torch.tensor([[1.0, -1.0], [-1.0, 1.0], [1.0000001, 0.0]], requires_grad=True)
    loss(cosines, torch.tensor([0, 0, 0])).backward()
    assert cosines.grad.isfinite().all()
    assert cosines.grad[1, 0] < 0  # wrong by all it can be: still a way back
    assert cosines.grad[1, 1] > 0


@pytest.mark.parametrize("loss", LOSSES)
def test_half_precision_is_computed_in_float32(batch, loss):
    cosines, labels = batch[0].bfloat16(), batch[1]
    with torch.autocast("cpu", torch.bfloat16):
        found = loss(cosines, labels)
    assert found.dtype == torch.float32
    assert torch.equal(found, loss(cosines.float(), labels))


@pytest.mark.parametrize("loss", LOSSES)
def test_class_shares_are_refused(loss):
    with pytest.raises(ValueError, match="one label per sample"):
        loss(torch.zeros(2, 3), torch.full((2, 3), 1 / 3))


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda: ArcFace(margin=2.0), "from 0 to pi / 2, not 2.0"),
        (lambda: ArcFace(scale=0.0), "above 0, not 0.0"),
        (lambda: CircleLoss(margin=-0.1), "from 0 to 1, not -0.1"),
        (lambda: CircleLoss(scale=-1.0), "above 0, not -1.0"),
    ],
)
def test_margins_and_scales_out_of_range_are_refused(make, sentence):
    with pytest.raises(ValueError, match=sentence):
        make()
