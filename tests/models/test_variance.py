"""Conversion keeps the variance of maps and gradients, layer by layer, without a norm's help."""

from copy import deepcopy
from statistics import mean

import pytest
import torch
import torchvision
from torch import Tensor, nn
from torchvision.models.vgg import cfgs, make_layers

from ghostexp.layers import GhostModule
from ghostexp.models import convert_to_ghost

SIDE = 96  # pixels
DRAWS = 8  # of small layers, whose few filters vary a lot from draw to draw


def vgg11() -> nn.Module:
    """torchvision's VGG-11 with its start weights, but ten classes without the huge layers."""
    features = make_layers(cfgs["A"], batch_norm=False)
    for module in features:
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
            nn.init.zeros_(module.bias)
    return nn.Sequential(features, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(512, 10))


def alexnet() -> nn.Module:
    return nn.Sequential(
        torchvision.models.alexnet().features,
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(256, 10),
    )


def without_chance(net: nn.Module) -> nn.Module:
    """No dropout, and no activation in place, which hooks could not look at."""
    for module in net.modules():
        if isinstance(module, nn.ReLU):
            module.inplace = False
        if isinstance(module, nn.Dropout):
            module.p = 0.0
    return net


def pair(build, ratio: int) -> tuple[nn.Module, nn.Module, list[str]]:
    """A dense network, its conversion, and the names of the Ghost modules."""
    dense = without_chance(build())
    ghost = convert_to_ghost(deepcopy(dense), ratio, image_size=SIDE)
    names = [layer for layer, module in ghost.named_modules() if isinstance(module, GhostModule)]
    assert len(names) > 4
    return dense, ghost, names


def recorded(net: nn.Module, names: list[str]) -> dict[str, tuple[Tensor, Tensor, Tensor]]:
    """Input and output of each layer, and the gradient that reaches its output."""
    seen = {}
    for name in names:

        def keep(_, inputs, output, name=name):
            output.retain_grad()
            seen[name] = (inputs[0].detach(), output)

        net.get_submodule(name).register_forward_hook(keep)
    torch.manual_seed(1)
    outputs = net(torch.randn(4, 3, SIDE, SIDE))
    (outputs * torch.randn_like(outputs)).sum().backward()
    return {name: (inputs, output.detach(), output.grad) for name, (inputs, output) in seen.items()}


@pytest.mark.parametrize("build", [vgg11, alexnet, torchvision.models.resnet18])
@pytest.mark.parametrize("ratio", [2, 4])
def test_variances_are_those_of_the_dense_network_through_all_layers(build, ratio):
    torch.manual_seed(0)
    dense, ghost, names = pair(build, ratio)
    expected, found = recorded(dense, names), recorded(ghost, names)
    for name in names:
        for what in (1, 2):  # maps, gradients
            change = found[name][what].var() / expected[name][what].var()
            assert 0.5 < change < 2, (name, what, change)


@pytest.mark.parametrize(
    "build", [torchvision.models.squeezenet1_1, torchvision.models.mobilenet_v3_small]
)
@pytest.mark.parametrize("ratio", [2, 4])
def test_each_layer_keeps_the_variance_on_the_dense_networks_maps(build, ratio):
    """Squeezing layers have as few as two intrinsic filters, whose draws differ: their mean."""
    torch.manual_seed(0)
    dense, _, names = pair(build, ratio)
    expected = recorded(dense, names)
    for name in names:
        inputs, maps, _ = expected[name]
        conv = dense.get_submodule(name)
        inputs.requires_grad_()
        arriving = torch.randn_like(maps)
        gradient = torch.autograd.grad(conv(inputs), inputs, arriving)[0]
        changes = []
        for _ in range(DRAWS):
            layer = GhostModule.from_conv(
                conv, ratio=ratio, bias=conv.bias is not None, map_size=maps.shape[-2:]
            )
            outputs = layer(inputs)
            backward = torch.autograd.grad(outputs, inputs, arriving)[0]
            change = outputs.detach().var() / maps.var(), backward.var() / gradient.var()
            changes.append([float(each) for each in change])
        for forward_or_backward in zip(*changes, strict=True):
            assert 0.5 < mean(forward_or_backward) < 2, name


def test_a_layer_of_zeros_stays_one_of_zeros():
    conv = nn.Conv2d(8, 8, 3)
    nn.init.zeros_(conv.weight)
    ghost = GhostModule.from_conv(conv)
    assert not ghost.primary_conv[0].weight.any()
    assert ghost.cheap_operation[0].weight.any()


@pytest.mark.parametrize("size", [1, 3, 5])
def test_a_cheap_kernel_keeps_constant_maps_and_white_noise(size):
    ghost = GhostModule.from_conv(nn.Conv2d(4, 8, 3), cheap_kernel_size=size)
    kernels = ghost.cheap_operation[0].weight.flatten(1)
    torch.testing.assert_close(kernels.sum(1).abs(), torch.ones(4))
    torch.testing.assert_close(kernels.square().sum(1), torch.ones(4))


def test_small_maps_are_made_up_for_their_border():
    """Of nine taps four lie on maps of 2x2 pixels, at each of their pixels."""
    conv = nn.Conv2d(64, 64, 1, bias=False)
    torch.manual_seed(0)
    maps = GhostModule.from_conv(conv, map_size=(2, 2))(torch.randn(256, 64, 2, 2))
    intrinsic, ghosts = maps.split(32, dim=1)
    assert 0.8 < ghosts.var() / intrinsic.var() < 1.25


def test_the_bias_is_taken_over():
    conv = nn.Conv2d(3, 7, 3)
    ghost = GhostModule.from_conv(conv, ratio=3, bias=True)
    kept = torch.cat([ghost.primary_conv[0].bias, ghost.cheap_operation[0].bias])
    assert torch.equal(kept[:7], conv.bias)
