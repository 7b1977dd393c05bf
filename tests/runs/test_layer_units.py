"""Units: which layers are alike, and that a unit computes what the network does there."""

import pytest
import torch
import torchvision
from torch import nn

from ghostexp.layers.ghost import GhostModule
from ghostexp.models import resnet20
from ghostexp.runs.layer_units import Kind, find_kinds

IMAGE = (3, 16, 16)


def kinds_of(net: nn.Module, shape=IMAGE, ratios=(2,), skip=()) -> dict[str, Kind]:
    found = find_kinds(net, shape, ratios=ratios, cheap_kernel_size=3, skip=skip)
    return {kind.names[0]: kind for kind in found}


def test_layers_with_another_tail_are_of_another_kind():
    kinds = kinds_of(resnet20(), skip=["stem.*"])
    assert "stem.0" not in kinds
    assert {name: len(kind.names) for name, kind in kinds.items()} == {
        "blocks.0.conv1": 3,
        "blocks.0.conv2": 3,
        "blocks.3.conv1": 1,
        "blocks.3.conv2": 3,
        "blocks.3.shortcut.conv": 1,
        "blocks.4.conv1": 2,
        "blocks.6.conv1": 1,
        "blocks.6.conv2": 3,
        "blocks.6.shortcut.conv": 1,
        "blocks.7.conv1": 2,
    }
    first, strided = kinds["blocks.0.conv2"], kinds["blocks.6.conv1"]
    assert (first.in_shape, first.out_shape) == ((16, 16, 16), (16, 16, 16))
    assert (strided.in_shape, strided.out_shape) == ((32, 8, 8), (64, 4, 4))
    assert first.macs(1, 3) == 16 * 16 * 9 * 256
    assert first.macs(2, 3) == (8 * 16 * 9 + 8 * 9) * 256


def test_a_unit_computes_what_stands_in_the_network():
    net = resnet20().eval()
    kinds = kinds_of(net)
    maps = torch.randn(2, 16, 16, 16)
    block = net.blocks[0]
    for norm in (block.bn1, block.bn2):
        nn.init.constant_(norm.running_var, 1.0)
    with torch.no_grad():
        one = block.bn1(block.conv1(maps)).relu().mean((2, 3))
        torch.testing.assert_close(kinds["blocks.0.conv1"].unit(1, 3)(maps), one)
        two = (block.bn2(block.conv2(maps)) + maps).relu().mean((2, 3))
        torch.testing.assert_close(kinds["blocks.0.conv2"].unit(1, 3)(maps), two)


@pytest.mark.parametrize(
    ("name", "layer", "is_added", "activation"),
    [
        ("mobilenet_v2", "features.2.conv.0.0", False, nn.ReLU6),
        ("mobilenet_v2", "features.3.conv.2", True, None),  # linear bottleneck, read twice
        ("squeezenet1_1", "features.3.squeeze", False, nn.ReLU),  # no norm
        ("efficientnet_b0", "features.7.0.block.0.0", False, nn.SiLU),
    ],
)
def test_the_tail_of_other_networks(name, layer, is_added, activation):
    net = torchvision.models.get_model(name)
    kinds = find_kinds(net, (3, 64, 64), ratios=[2], cheap_kernel_size=3, skip=())
    (kind,) = [kind for kind in kinds if layer in kind.names]
    assert (kind.flow.is_added, kind.flow.activation) == (is_added, activation)
    assert (kind.flow.norm is None) == (name == "squeezenet1_1")


def test_the_unit_of_a_ghost_module_is_what_a_conversion_builds():
    net = nn.Sequential(nn.Conv2d(4, 12, 3, 2, 1), nn.ReLU(), nn.Conv2d(12, 16, 1), nn.ReLU())
    net.append(nn.Conv2d(16, 16, 3, padding=1)).append(nn.BatchNorm2d(16))
    net.append(nn.Conv2d(16, 8, 3))
    kinds = kinds_of(net, (4, 16, 16), ratios=(2, 3))
    with_bias, without = kinds["0"], kinds["4"]
    assert with_bias.ratios == without.ratios == [2, 3]
    ghost = with_bias.unit(3, 5).layer
    assert isinstance(ghost, GhostModule)
    assert (ghost.ratio, ghost.cheap_operation[0].kernel_size) == (3, (5, 5))
    assert ghost.primary_conv[0].bias is not None
    assert without.unit(2, 3).layer.primary_conv[0].bias is None  # a norm follows
    assert with_bias.unit(2, 3)(torch.zeros(1, 4, 16, 16)).shape == (1, 12)


def test_what_cannot_be_converted_is_a_sentence():
    with pytest.raises(ValueError, match="ratio 2, ratio 3 would convert no convolution of Linear"):
        kinds_of(nn.Linear(3, 3), ratios=(2, 3))
    net = nn.Sequential(nn.Conv2d(3, 16, 3), nn.Conv2d(16, 16, 3), nn.Flatten(), nn.Linear(9, 2))
    with pytest.raises(ValueError, match="the network fails on images of 16 pixels: "):
        kinds_of(net)
