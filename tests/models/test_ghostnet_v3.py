"""GhostNetV3: sizes of both forms, their equality, gradients."""

import pytest
import torch
from torch import nn

from ghostexp.analysis.complexity import count_macs, count_params
from ghostexp.layers.rep_ghost import RepConv, fuse_branches
from ghostexp.models.ghostnet_v2 import ghostnet_v2
from ghostexp.models.ghostnet_v3 import ghostnet_v3

IMAGE = (3, 224, 224)


def cost(net: nn.Module) -> tuple[int, int]:
    return count_params(net), count_macs(net, IMAGE)


def test_costs_of_both_forms():
    net = ghostnet_v3()
    assert cost(net) == (8_129_028, 404_128_320)
    assert cost(fuse_branches(net)) == (6_147_588, 167_048_288)
    assert cost(net) == (8_129_028, 404_128_320)


@pytest.mark.parametrize("width_mult", [0.5, 1.3])
def test_deployed_macs_are_those_of_version_2(width_mult):
    deployed = fuse_branches(ghostnet_v3(width_mult=width_mult))
    assert count_macs(deployed, (3, 64, 64)) == count_macs(
        ghostnet_v2(width_mult=width_mult), (3, 64, 64)
    )


def test_both_forms_give_the_same():
    net = ghostnet_v3(10, small_input=True)
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = None  # settled statistics after few steps
    with torch.no_grad():
        for _ in range(2):
            net(1 + 2 * torch.randn(8, 3, 32, 32))
    net.eval()
    deployed = fuse_branches(net)
    images = 1 + 2 * torch.randn(4, 3, 32, 32)
    with torch.no_grad():
        torch.testing.assert_close(deployed(images), net(images), rtol=1e-5, atol=1e-5)
    assert deployed.feature_channels == net.feature_channels
    assert not any(isinstance(module, RepConv) for module in deployed.modules())


def test_every_parameter_gets_a_finite_gradient():
    net = ghostnet_v3(7)
    net(torch.randn(2, 3, 128, 128)).square().sum().backward()
    assert all(parameter.grad.isfinite().all() for parameter in net.parameters())
    assert all(parameter.grad.any() for parameter in net.parameters())
