"""GhostNet: features, small images, gradients, errors; sizes: tests/test_figures.py."""

import pytest
import torch
from torch import nn
from torchvision.ops import FeaturePyramidNetwork

from ghostexp.analysis.complexity import count_params
from ghostexp.models.ghostnet import BLOCKS, BlockRow, GhostBottleneck, ghostnet, make_divisible


@pytest.mark.parametrize(
    ("channels", "rounded"), [(1, 4), (16 / 4, 4), (72 / 4, 20), (5.9, 8), (21.9, 20), (22, 24)]
)
def test_make_divisible(channels, rounded):
    assert make_divisible(channels) == rounded


def test_widths_of_se_are_the_papers():
    squeezed = [
        block.se.fc1.out_channels for block in ghostnet().blocks if hasattr(block.se, "fc1")
    ]
    assert squeezed == [20, 32, 120, 168, 168, 240, 240]


def test_bottleneck_adds_its_input():
    block = GhostBottleneck(8, BlockRow(3, 16, 8, True, 1)).eval()
    for norm in (block.ghost2.primary_conv[1], block.ghost2.cheap_operation[1]):
        nn.init.zeros_(norm.weight)  # the residual branch gives its bias, 0
    maps = torch.randn(2, 8, 6, 6)
    assert torch.equal(block(maps), maps)


def test_features_feed_torchvisions_pyramid():
    net = ghostnet(width_mult=1.3).eval()
    assert net.feature_channels == {"C2": 32, "C3": 52, "C4": 144, "C5": 208}
    assert ghostnet().feature_channels == {"C2": 24, "C3": 40, "C4": 112, "C5": 160}
    features = net.trunk()(torch.randn(1, 3, 64, 96))
    shapes = {name: tuple(maps.shape[1:]) for name, maps in features.items()}
    assert shapes == {"C2": (32, 16, 24), "C3": (52, 8, 12), "C4": (144, 4, 6), "C5": (208, 2, 3)}
    pyramid = FeaturePyramidNetwork(list(net.feature_channels.values()), 16)
    assert [maps.shape[1] for maps in pyramid(features).values()] == [16] * 4


def test_features_are_the_last_maps_before_each_stride():
    net = ghostnet(width_mult=0.5).eval()
    inputs = {}
    for index, (block, row) in enumerate(zip(net.blocks, BLOCKS, strict=True)):
        if row.stride == 2 and index > 1:
            block.register_forward_pre_hook(lambda _, args, i=index: inputs.update({i: args[0]}))
    net.last_conv.register_forward_pre_hook(lambda _, args: inputs.update({16: args[0]}))
    images = torch.randn(1, 3, 64, 64)
    net(images)
    features = list(net.trunk()(images).values())
    assert len(inputs) == 4
    assert all(torch.equal(a, b) for a, b in zip(inputs.values(), features, strict=True))


def test_small_input_keeps_the_resolution_twice_longer():
    net = ghostnet(10, 1, small_input=True).eval()
    images = torch.randn(2, 1, 32, 32)
    sides = [maps.shape[-1] for maps in net.trunk()(images).values()]
    assert sides == [32, 16, 8, 4]
    assert net(images).shape == (2, 10)
    depthwise = 48 * 9 + 2 * 48  # of the second block, which a stride of 1 has not
    assert count_params(net) == count_params(ghostnet(10, 1)) - depthwise


def test_every_parameter_gets_a_finite_gradient():
    net = ghostnet(7)
    logits = net(torch.randn(2, 3, 64, 64))
    assert logits.shape == (2, 7)
    logits.square().sum().backward()
    assert all(parameter.grad.isfinite().all() for parameter in net.parameters())
    assert all(parameter.grad.any() for parameter in net.parameters())


def test_dropout_is_before_the_classifier():
    assert ghostnet(dropout=0.3).dropout.p == 0.3
    net = ghostnet(5, dropout=1.0)
    logits = net(torch.randn(2, 3, 32, 32))
    assert torch.equal(logits, net.classifier.bias.expand(2, 5))


@pytest.mark.parametrize("width_mult", [0, -1, float("nan")])
def test_bad_width(width_mult):
    with pytest.raises(ValueError, match="width_mult must be above 0"):
        ghostnet(width_mult=width_mult)
