"""CIFAR ResNets and Ghost-ResNet-56: published sizes, shapes, gradients, errors."""

import pytest
import torch
from torch import nn

from ghostexp.analysis.complexity import count_macs, count_params, count_thop
from ghostexp.layers import GhostModule
from ghostexp.models import (
    ghost_resnet56,
    resnet20,
    resnet32,
    resnet44,
    resnet56,
    resnet110,
)
from ghostexp.models.resnet import BasicBlock, PaddingShortcut

IMAGE = (3, 32, 32)


def cost(net: nn.Module) -> tuple[int, int, int]:
    return count_params(net), count_macs(net, IMAGE), count_thop(net, IMAGE)


def test_resnet56_costs():
    assert cost(resnet56()) == (855_770, 125_747_840, 127_926_912)
    assert cost(resnet56(shortcut="A")) == (853_018, 125_485_696, 127_615_616)


@pytest.mark.parametrize(
    ("factory", "params", "macs"),
    [
        (resnet20, 269_722, 40_551_040),
        (resnet32, 464_154, 68_862_592),
        (resnet44, 658_586, 97_174_144),
        (resnet110, 1_727_962, 252_887_680),
    ],
)
def test_costs_with_shortcut_a(factory, params, macs):
    assert cost(factory(shortcut="A"))[:2] == (params, macs)


def test_ghost_resnet56_costs():
    assert cost(ghost_resnet56()) == (439_914, 65_325_696, 67_504_768)


@pytest.mark.parametrize(
    ("ratio", "bare", "with_inner_norm", "macs"),
    [
        (1, 855_770, 855_770, 125_747_840),
        (2, 439_914, 439_914, 65_325_696),
        (3, 312_038, 312_228, 48_113_024),
        (4, 231_986, 231_986, 35_114_624),
        (5, 198_646, 198_950, 32_798_080),
        (6, 171_431, 171_735, 27_472_832),
        (7, 157_631, 158_163, 26_111_360),
        (8, 128_022, 128_022, 20_009_088),
        (9, 130_416, 130_948, 20_621_952),
        (10, 121_159, 121_843, 20_489_152),
    ],
)
def test_ratio_ablation(ratio, bare, with_inner_norm, macs):
    assert cost(ghost_resnet56(ratio=ratio))[:2] == (bare, macs)
    assert cost(ghost_resnet56(ratio=ratio, inner_norm=True))[:2] == (with_inner_norm, macs)


@pytest.mark.parametrize(
    ("cheap_kernel_size", "params", "macs"),
    [(1, 431_402, 63_146_624), (5, 456_938, 69_683_840), (7, 482_474, 76_221_056)],
)
def test_kernel_ablation(cheap_kernel_size, params, macs):
    assert cost(ghost_resnet56(cheap_kernel_size=cheap_kernel_size))[:2] == (params, macs)


@pytest.mark.parametrize(
    "net",
    [
        resnet20(),
        resnet20(shortcut="A"),
        ghost_resnet56(),
        ghost_resnet56(ratio=10, inner_norm=True),
        ghost_resnet56(num_classes=7, in_channels=1, shortcut="A", skip=["stem.*"]),
    ],
    ids=["B", "A", "ghost", "inner_norm", "A_grey_7"],
)
def test_every_parameter_gets_a_finite_gradient(net):
    in_channels = next(net.parameters()).shape[1]
    logits = net(torch.randn(2, in_channels, 16, 16))
    assert logits.shape == (2, net.classifier.out_features)
    logits.square().sum().backward()
    assert all(parameter.grad.isfinite().all() for parameter in net.parameters())


def test_ghost_resnet56_converts_all_57_convolutions():
    modules = list(ghost_resnet56().modules())
    assert sum(isinstance(module, GhostModule) for module in modules) == 57
    assert sum(isinstance(module, nn.BatchNorm2d) for module in modules) == 57
    inner = list(ghost_resnet56(inner_norm=True).modules())
    assert sum(isinstance(module, nn.BatchNorm2d) for module in inner) == 2 * 57


def test_skip_keeps_a_convolution_dense():
    net = ghost_resnet56(skip=["stem.0", "*.shortcut.conv"])
    assert isinstance(net.stem[0], nn.Conv2d)
    assert sum(isinstance(module, GhostModule) for module in net.modules()) == 57 - 3


def test_block_adds_its_shortcut():
    block = BasicBlock(4, 8, 2, shortcut=PaddingShortcut).eval()
    nn.init.zeros_(block.bn2.weight)  # the residual branch gives its bias, 0
    images = torch.rand(1, 4, 6, 6)
    maps = block(images)
    torch.testing.assert_close(maps[:, 2:6], images[:, :, ::2, ::2])
    assert maps[:, [0, 1, 6, 7]].count_nonzero() == 0


def test_start_weights_have_kaimings_variance():
    torch.manual_seed(0)
    for net in (resnet56(), ghost_resnet56()):
        convolutions = [module for module in net.modules() if isinstance(module, nn.Conv2d)]
        ratios = [conv.weight.var() * conv.weight[0].numel() / 2 for conv in convolutions]
        assert torch.stack(ratios).mean().item() == pytest.approx(1, abs=0.05)
        assert net.classifier.weight.abs().max() <= 64**-0.5  # torch's own start


@pytest.mark.parametrize("factory", [resnet56, ghost_resnet56])
def test_unknown_shortcut(factory):
    with pytest.raises(ValueError, match="'A' .* or 'B' .*, not 'C'"):
        factory(shortcut="C")


@pytest.mark.parametrize("ratio", [0, -1, 2.5, 17])
def test_bad_ratio_names_the_layer(ratio):
    with pytest.raises(ValueError, match=rf"'stem.0': .* 16 output channels, not {ratio}; .*skip="):
        ghost_resnet56(ratio=ratio)
