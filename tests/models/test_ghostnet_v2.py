"""GhostNetV2: where attention is, gradients, features, errors; sizes: tests/test_figures.py."""

import pytest
import torch

from ghostexp.layers.dfc import DFCAttention
from ghostexp.models.ghostnet import ghostnet
from ghostexp.models.ghostnet_v2 import ghostnet_v2


def test_attention_is_on_the_first_ghost_module_from_the_third_block_on():
    blocks = ghostnet_v2().blocks
    assert [isinstance(block.attention, DFCAttention) for block in blocks] == [False] * 2 + [
        True
    ] * 14
    assert not any(isinstance(module, DFCAttention) for module in ghostnet().modules())


def test_attention_gates_the_first_ghost_modules_maps():
    block = ghostnet_v2().blocks[2].eval()
    maps = torch.randn(1, 24, 8, 8)
    gated = block.ghost1(maps) * block.attention(maps)
    torch.testing.assert_close(block(maps), block.ghost2(gated) + maps)


def test_every_parameter_gets_a_finite_gradient():
    net = ghostnet_v2(7)
    net(torch.randn(2, 3, 128, 128)).square().sum().backward()
    assert all(parameter.grad.isfinite().all() for parameter in net.parameters())
    assert all(parameter.grad.any() for parameter in net.parameters())


def test_small_images():
    net = ghostnet_v2(10, 1, small_input=True).eval()
    assert net(torch.randn(2, 1, 32, 32)).shape == (2, 10)
    features = net.trunk()(torch.randn(1, 1, 32, 32))
    assert [tuple(maps.shape[1:3]) for maps in features.values()] == [
        (24, 32),
        (40, 16),
        (112, 8),
        (160, 4),
    ]
    assert ghostnet_v2(10).eval()(torch.randn(1, 3, 33, 33)).shape == (1, 10)
    assert net(torch.randn(1, 1, 9, 9)).shape == (1, 10)


def test_images_too_small_for_attention():
    with pytest.raises(ValueError, match="use larger images .* at least 2x2, not 1x1"):
        ghostnet_v2(10)(torch.randn(2, 3, 32, 32))
