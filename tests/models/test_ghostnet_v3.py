"""GhostNetV3: equality of both forms, gradients; their sizes: tests/test_figures.py."""

import torch
from torch import nn

from ghostexp.layers.rep_ghost import RepConv, fuse_branches
from ghostexp.models.ghostnet_v3 import ghostnet_v3


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
