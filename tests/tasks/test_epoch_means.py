"""Means over an epoch's images, whole or resumed."""

from types import SimpleNamespace

import pytest
import torch

from ghostexp.tasks.epoch_means import EpochMeans

BATCHES = [(4, 2.0, 1), (4, 0.1, 4), (3, 0.7, 0)]  # images, mean loss, correct


def trainer(processes=1):
    reduce = lambda values, reduce_op: values * processes  # noqa: E731
    return SimpleNamespace(strategy=SimpleNamespace(reduce=reduce))


def add(means, batches):
    for count, loss, correct in batches:
        means.add(count, {"loss": torch.tensor(loss) * count, "acc": torch.tensor(correct)})


@pytest.mark.parametrize("processes", [1, 2])
def test_every_image_counts_alike(processes):
    means = EpochMeans()
    means.start()
    add(means, BATCHES)
    found = means.end(trainer(processes))
    assert found["loss"].item() == pytest.approx((4 * 2.0 + 4 * 0.1 + 3 * 0.7) / 11)
    assert found["acc"].item() == pytest.approx(5 / 11)


@pytest.mark.parametrize("cut", [0, 1, 2, 3])
def test_a_resumed_epoch_has_the_same_bits(cut):
    whole, first, second = EpochMeans(), EpochMeans(), EpochMeans()
    whole.start()
    add(whole, BATCHES)
    first.start()
    add(first, BATCHES[:cut])
    checkpoint = {}
    first.save(checkpoint)
    second.load(checkpoint)
    second.start()
    add(second, BATCHES[cut:])
    assert second.end(trainer()) == whole.end(trainer())
    second.start()  # the next epoch
    add(second, BATCHES[:1])
    assert second.end(trainer())["loss"] == 2.0


def test_a_checkpoint_of_an_epochs_end_resumes_nothing():
    means = EpochMeans()
    assert not means.within_epoch
    means.start()
    assert means.within_epoch
    add(means, BATCHES)
    means.end(trainer())
    assert not means.within_epoch
    means.load({})
    means.start()
    add(means, BATCHES[1:2])
    assert means.end(trainer())["acc"] == 1
