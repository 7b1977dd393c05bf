"""Gradients of whole CIFAR networks: float32 of the native step and of torch beside float64.

A ReLU whose input is almost 0 may turn its sign where sums are rounded. One such ReLU changes the
gradients by a thousandth to a hundredth, in torch's step as in ours, and in other draws. So a
network is drawn several times, and the smallest error of each step is compared.
"""

import copy
from collections.abc import Callable

import pytest
import torch
from torch import nn
from torch.nn.functional import cross_entropy

from ghostexp.models import resnet
from ghostexp.models.convert import convert_to_ghost
from ghostexp.models.ghost_cifar import EVERY, ghost_resnet56, ghost_vgg16
from ghostexp.models.vgg import vgg16
from ghostexp.native import NativeStep

DRAWS = 3
WITHOUT_A_TURN = 3e-5  # of the gradient's size, where the rounding itself gives 1e-6


def ghost_resnet20(**settings: int) -> nn.Module:
    net = resnet.resnet20()
    convert_to_ghost(net, **settings, only=EVERY)
    return net


NETS: dict[str, tuple[Callable[[], nn.Module], int]] = {  # with the side of the images
    **{f"Ghost-ResNet-20, s = {s}": (lambda s=s: ghost_resnet20(ratio=s), 8) for s in range(1, 11)},
    **{
        f"Ghost-ResNet-20, d = {d}": (lambda d=d: ghost_resnet20(ratio=2, cheap_kernel_size=d), 8)
        for d in (1, 5, 7)
    },
    "ResNet-20": (resnet.resnet20, 16),
    "ResNet-20, shortcut A": (lambda: resnet.resnet20(shortcut="A"), 16),
    "ResNet-56": (resnet.resnet56, 8),
    "Ghost-ResNet-56": (ghost_resnet56, 8),
    "Ghost-ResNet-56, shortcut A": (lambda: ghost_resnet56(shortcut="A"), 8),
    "VGG-16": (vgg16, 32),
    "Ghost-VGG-16": (ghost_vgg16, 32),
}


def drawn(make: Callable[[], nn.Module], seed: int) -> nn.Module:
    torch.manual_seed(seed)
    net = make().train()
    for norm in (each for each in net.modules() if isinstance(each, nn.BatchNorm2d)):
        nn.init.uniform_(norm.weight, 0.5, 1.5)
        nn.init.uniform_(norm.bias, -0.3, 0.3)
    return net


def gradients(net: nn.Module, images: torch.Tensor) -> torch.Tensor:
    loss = cross_entropy(net(images), torch.arange(len(images)) % 10)
    loss.backward()
    return torch.cat([each.grad.double().flatten() for each in net.parameters()])


def relative_errors(make: Callable[[], nn.Module], side: int, seed: int) -> tuple[float, float]:
    """Of torch's gradients and of ours, as a share of the size of float64's."""
    net, images = drawn(make, seed), torch.randn(9, 3, side, side)
    exact = gradients(copy.deepcopy(net).double(), images.double())
    stock = gradients(copy.deepcopy(net), images)
    native = gradients(NativeStep()(copy.deepcopy(net)), images)
    return tuple(float((each - exact).norm() / exact.norm()) for each in (stock, native))


@pytest.mark.slow
@pytest.mark.parametrize("name", NETS)
def test_gradients_are_as_near_to_float64_as_torchs(name):
    make, side = NETS[name]
    errors = [relative_errors(make, side, seed) for seed in range(DRAWS)]
    stock, native = map(min, zip(*errors, strict=True))
    assert native <= 2 * stock < WITHOUT_A_TURN, errors


@pytest.mark.slow
def test_a_relu_turns_no_more_often_than_in_torchs_step():
    """In 20 draws of a deep network; the two steps turn in draws of their own."""
    errors = [relative_errors(resnet.resnet56, 8, seed) for seed in range(20)]
    stock, native = (sum(e > WITHOUT_A_TURN for e in each) for each in zip(*errors, strict=True))
    assert 0 < native <= stock + 5, errors
