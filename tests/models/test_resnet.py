"""CIFAR ResNets and Ghost-ResNet-56: shapes, gradients, errors; sizes: tests/test_figures.py."""

import pytest
import torch
from torch import nn

from ghostexp.layers import GhostModule
from ghostexp.models import ghost_resnet56, ghost_vgg16, resnet20, resnet56, vgg16
from ghostexp.models.resnet import BasicBlock, PaddingShortcut


@pytest.mark.parametrize(
    "net",
    [
        resnet20(),
        resnet20(shortcut="A"),
        ghost_resnet56(),
        ghost_resnet56(ratio=10, inner_norm=True),
        ghost_resnet56(num_classes=7, in_channels=1, shortcut="A", skip=["stem.*"]),
        ghost_resnet56(inner_norm=True, inner_activation=True, outer_norm=True),
    ],
    ids=["B", "A", "ghost", "inner_norm", "A_grey_7", "norms_everywhere"],
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


NORM, ACTIVATION = nn.BatchNorm2d, nn.ReLU


@pytest.mark.parametrize(
    ("switches", "half", "outer"),
    [
        ({}, [], NORM),
        ({"inner_norm": True}, [NORM], nn.Identity),
        ({"inner_norm": True, "outer_norm": False}, [NORM], nn.Identity),
        ({"inner_norm": True, "outer_norm": True}, [NORM], NORM),
        ({"inner_activation": True}, [ACTIVATION], NORM),
        ({"inner_norm": True, "inner_activation": True}, [NORM, ACTIVATION], nn.Identity),
        (
            {"inner_norm": True, "inner_activation": True, "outer_norm": True},
            [NORM, ACTIVATION],
            NORM,
        ),
    ],
)
def test_switches_say_where_norm_and_activation_stand(switches, half, outer):
    resnet, vgg = ghost_resnet56(ratio=3, **switches), ghost_vgg16(ratio=3, **switches)
    for net, (ghost, norm) in ((resnet, resnet.stem[:2]), (vgg, vgg.features[:2])):
        ghosts = [module for module in net.modules() if isinstance(module, GhostModule)]
        halves = [part for each in ghosts for part in each.children()]
        assert all([*map(type, part[1:])] == half for part in halves)
        assert all(part[0].bias is None for part in halves)
        assert type(norm) is outer
        if half[:1] == [NORM]:
            channels = -(-ghost.out_channels // 3)
            assert ghost.primary_conv[1].num_features == channels
            assert ghost.cheap_operation[1].num_features == 2 * channels


def test_a_network_without_any_norm_is_refused():
    with pytest.raises(ValueError, match="outer_norm=false needs inner_norm=true"):
        ghost_resnet56(outer_norm=False)


@pytest.mark.parametrize("factory", [resnet20, vgg16, ghost_resnet56, ghost_vgg16])
def test_weights_of_a_file_are_loaded(factory, tmp_path):
    torch.manual_seed(0)
    given, path = factory().state_dict(), tmp_path / "weights.pth"
    torch.save(given, path)
    loaded = factory(weights=str(path)).state_dict()
    assert all(torch.equal(value, given[name]) for name, value in loaded.items())


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


@pytest.mark.parametrize("ratio", [0, -1, 2.5])
def test_a_bad_ratio_is_named(ratio):
    with pytest.raises(
        ValueError, match=f"ratio must be a whole number of at least 1, not {ratio}"
    ):
        ghost_resnet56(ratio=ratio)
