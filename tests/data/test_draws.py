"""Draws follow from whole numbers alone, and leave the global generators alone."""

import random

import numpy as np
import pytest
import torch

from ghostexp.data.draws import drawing_from, epoch_generator


def draws() -> tuple[float, float, float]:
    return random.random(), float(np.random.rand()), float(torch.rand(()))


def drawn_from(*entropy: int) -> tuple[float, float, float]:
    with drawing_from(*entropy):
        return draws()


def test_epoch_generators_of_different_entropy_differ():
    draws = {
        float(torch.rand((), generator=epoch_generator(*entropy)))
        for entropy in [(0,), (1,), (0, 1), (1, 0), (0, 1, 0, 1), (0, 1, 1, 1)]
    }
    assert len(draws) == 6


def test_all_three_generators_follow_from_the_entropy_alone():
    first = drawn_from(3, 1, 4)
    draws()
    assert drawn_from(3, 1, 4) == first
    others = [drawn_from(*entropy) for entropy in [(3, 1, 5), (4, 1, 4), (3, 1), (0, 3, 1, 4)]]
    for values in zip(first, *others, strict=True):
        assert len(set(values)) == 5
    assert len(set(first)) == 3  # the generators are not seeded alike


def test_the_global_generators_go_on_as_if_nothing_was_drawn():
    def seed():
        random.seed(1)
        np.random.seed(1)
        torch.manual_seed(1)

    seed()
    expected = draws()
    seed()
    drawn_from(7)
    assert draws() == expected
    seed()
    with pytest.raises(KeyError), drawing_from(7):
        raise KeyError
    assert draws() == expected
