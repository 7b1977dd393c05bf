"""Ghost-ResNet-50: params by formula, which convolutions are converted, gradients."""

import pytest
import torch
from torch import nn
from torchvision.models import resnet50

from ghostexp.analysis.complexity import count_params
from ghostexp.layers import GhostModule
from ghostexp.models.ghost_resnet50 import ghost_resnet50


def converted_params(ratio: int) -> int:
    """The dense network's params, with the paper's formula for each convolution but the first."""
    total = sum(parameter.numel() for parameter in resnet50().parameters())
    for name, conv in resnet50().named_modules():
        if isinstance(conv, nn.Conv2d) and name != "conv1":
            intrinsic = conv.out_channels // ratio  # all of them divide
            total += intrinsic * conv.weight[0].numel() + intrinsic * (ratio - 1) * 9
            total -= conv.weight.numel()
    return total


@pytest.mark.parametrize("ratio", [2, 4])
def test_params_are_the_papers_formula(ratio):
    assert count_params(ghost_resnet50(ratio=ratio)) == converted_params(ratio)


def test_converts_all_but_the_stem_unless_told_otherwise():
    net = ghost_resnet50()
    assert type(net.conv1) is nn.Conv2d
    assert sum(isinstance(module, GhostModule) for module in net.modules()) == 52
    assert isinstance(ghost_resnet50(skip=[]).conv1, GhostModule)


def test_every_parameter_gets_a_finite_gradient():
    net = ghost_resnet50(7, 1, ratio=4, cheap_kernel_size=5)
    logits = net(torch.randn(2, 1, 64, 64))
    assert logits.shape == (2, 7)
    logits.square().sum().backward()
    assert all(parameter.grad.isfinite().all() for parameter in net.parameters())
