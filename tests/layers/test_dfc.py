"""DFC attention: against box sums, range, size of the maps, errors."""

import pytest
import torch
from torch import nn
from torch.nn.functional import avg_pool2d, interpolate

from ghostexp.layers.dfc import DFCAttention


def test_gate_sees_a_5x5_window_of_the_half_size_map():
    attention = DFCAttention(2, 2).eval()  # a fresh batch norm in eval mode divides by sqrt(1 + e)
    for conv in (module for module in attention.modules() if isinstance(module, nn.Conv2d)):
        nn.init.ones_(conv.weight)
    nn.init.dirac_(attention.mix[0].weight)
    images = torch.randn(1, 2, 14, 22)
    sums = 25 * avg_pool2d(avg_pool2d(images, 2), 5, stride=1, padding=2)
    expected = interpolate(torch.sigmoid(sums / (1 + 1e-5) ** 1.5), scale_factor=2.0)
    torch.testing.assert_close(attention(images), expected)


@pytest.mark.parametrize("size", [(7, 7), (2, 3), (14, 9)])
def test_gate_has_the_size_of_the_input(size):
    gate = DFCAttention(3, 8)(torch.randn(2, 3, *size))
    assert gate.shape == (2, 8, *size)
    assert gate.min() > 0
    assert gate.max() < 1


def test_refuses_maps_that_cannot_be_halved():
    with pytest.raises(ValueError, match="at least 2x2, not 1x4"):
        DFCAttention(3, 8)(torch.randn(2, 3, 1, 4))
