"""What is timed: the right counterpart, at the right shape; and the list that comes out of it."""

import pytest
import torch
from torch import nn

from ghostexp.analysis.benchmark import Timing
from ghostexp.analysis.layer_latency import (
    LayerTiming,
    dense_counterpart,
    faster_layers,
    time_layers,
)
from ghostexp.layers import GhostModule
from ghostexp.layers.rep_ghost import rep_ghost
from ghostexp.models import convert_to_ghost, ghost_resnet56, resnet20

IMAGE = (3, 16, 16)


@pytest.mark.parametrize("step", [False, True], ids=["inference", "step"])
def test_each_geometry_is_timed_once_and_names_all_its_layers(step):
    net = ghost_resnet56()
    timings = time_layers(net, IMAGE, batch_size=2, rounds=1, step=step)
    assert [len(timing.names) for timing in timings] == [1, 18, 1, 17, 1, 1, 17, 1]
    assert timings[0].names == ["stem.0"]
    assert timings[1].in_shape == timings[1].out_shape == (16, 16, 16)
    assert timings[1].macs_ratio == pytest.approx((8 * 16 * 9 + 8 * 9) / (16 * 16 * 9))
    assert all(len(timing.ghost.seconds) == len(timing.dense.seconds) == 1 for timing in timings)
    assert all(parameter.grad is None for parameter in net.parameters())


def test_counterpart_is_the_convolution_that_was_replaced():
    conv = nn.Conv2d(4, 10, (3, 5), 2, padding=(1, 2), dilation=(1, 1), bias=True)
    ghost = GhostModule.from_conv(conv, ratio=3, bias=True, norm_layer=nn.BatchNorm2d)
    counterpart = dense_counterpart(ghost)
    assert repr(counterpart[0]) == repr(conv)
    assert counterpart[1].num_features == 10
    images = torch.randn(2, 4, 9, 9)
    assert counterpart(images).shape == ghost(images).shape


def test_a_network_without_ghost_modules_is_refused():
    with pytest.raises(ValueError, match="no Ghost module to time"):
        time_layers(resnet20(), IMAGE, batch_size=1, rounds=1)


def test_branches_must_be_fused_first():
    with pytest.raises(ValueError, match="fuse its branches"):
        time_layers(nn.Sequential(rep_ghost(3, 8)), IMAGE, batch_size=1, rounds=1)


def timing(names: list[str], ghost: list[float], dense: list[float]) -> LayerTiming:
    shape = (1, 1, 1)
    return LayerTiming(names, shape, shape, 0.5, Timing("ghost", ghost), Timing("dense", dense))


def test_the_list_holds_layers_that_won_every_round_and_converts_them():
    timings = [
        timing(["stem.0", "blocks.0.conv1"], [1.0, 1.0], [2.0, 1.5]),
        timing(["blocks.0.conv2"], [1.0, 1.0], [2.0, 0.9]),  # lost one round
        timing(["blocks.1.conv1"], [3.0, 3.0], [2.0, 2.0]),
    ]
    assert timings[0].time_ratio == pytest.approx(1 / 1.75)
    names = faster_layers(timings)
    assert names == ["stem.0", "blocks.0.conv1"]
    net = convert_to_ghost(resnet20(), only=names)
    ghosts = [name for name, module in net.named_modules() if isinstance(module, GhostModule)]
    assert ghosts == names
