"""A balanced order: classes equally frequent, from (seed, epoch) alone, over several processes."""

from functools import partial

import pytest
import torch

from ghostexp.data.balanced import balanced_draw
from ghostexp.data.in_memory import EpochOrder

LABELS = torch.tensor([0] * 900 + [1] * 90 + [2] * 10)
INDICES = torch.arange(1000) + 5


def order(rank=0, world_size=1):
    options = {"shuffle": True, "seed": 3, "rank": rank, "world_size": world_size}
    return EpochOrder(INDICES, 32, draw=partial(balanced_draw, LABELS), **options)


def epoch(order, number):
    order.set_epoch(number)
    return torch.cat(list(order))


def test_classes_are_drawn_equally_often():
    generator = torch.Generator().manual_seed(0)
    drawn = LABELS[torch.cat([balanced_draw(LABELS, generator) for _ in range(10)])]
    shares = torch.bincount(drawn) / 10_000
    assert shares.tolist() == pytest.approx([1 / 3] * 3, abs=0.02)  # 4 standard deviations


def test_examples_of_a_class_are_drawn_equally_often():
    generator = torch.Generator().manual_seed(0)
    drawn = torch.cat([balanced_draw(LABELS, generator) for _ in range(10)])
    rare = torch.bincount(drawn, minlength=1000)[LABELS == 2]
    assert rare.double().mean().item() == pytest.approx(333, rel=0.1)
    assert rare.min() > 333 - 5 * 333**0.5


def test_an_epoch_has_its_own_order_that_comes_again():
    first = epoch(order(), 0)
    assert len(first) == 1000
    assert torch.isin(first, INDICES).all()
    assert torch.equal(first, epoch(order(), 0))
    assert not torch.equal(first, epoch(order(), 1))


def test_processes_share_one_order():
    parts = [epoch(order(rank, 2), 0) for rank in range(2)]
    assert torch.equal(torch.stack(parts, dim=1).flatten(), epoch(order(), 0))
