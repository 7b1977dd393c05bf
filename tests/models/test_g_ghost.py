"""G-Ghost networks: closed counts, the dense twins against torchvision and timm, errors."""

import pytest
import torch
import torchvision
from torch import nn

from ghostexp.analysis.complexity import count_macs, count_params
from ghostexp.layers.g_ghost import GhostStage
from ghostexp.models import g_ghost_regnet_x, g_ghost_resnet56, regnet_x, resnet56
from ghostexp.models.g_ghost_regnet import SIZES


def intrinsic_channels(net: nn.Module) -> list[int]:
    return [module.intrinsic for module in net.modules() if isinstance(module, GhostStage)]


def resnet56_macs(intrinsic: list[int]) -> int:
    """Multiply-adds of G-Ghost-ResNet-56 with shortcut B, by its definition."""
    macs = 32 * 32 * 27 * 16 + 64 * 10  # stem, classifier
    before = 16
    for channels, inner, side in zip((16, 32, 64), intrinsic, (32, 16, 8), strict=True):
        pixels, ghosts = side * side, channels - inner
        macs += pixels * 9 * (before * channels + channels * channels)  # first block
        macs += pixels * before * channels * (before != channels)  # its shortcut
        macs += pixels * 9 * (7 * 2 * inner * inner + 2 * channels * channels)  # inner, last
        macs += pixels * ghosts * ghosts  # cheap operation
        macs += (channels + 7 * inner) * ghosts + ghosts * ghosts  # mix
        before = channels
    return macs


@pytest.mark.parametrize(
    ("ratio", "intrinsic"), [(2, [8, 16, 32]), (3, [8, 16, 24]), (4, [8, 8, 16])]
)
def test_g_ghost_resnet56_has_the_macs_of_its_definition(ratio, intrinsic):
    net = g_ghost_resnet56(ratio=ratio)
    assert intrinsic_channels(net) == intrinsic
    assert count_macs(net, (3, 32, 32)) == resnet56_macs(intrinsic)


def test_g_ghost_resnet56_as_it_is_documented():
    net = g_ghost_resnet56()
    assert (count_params(net), count_macs(net, (3, 32, 32))) == (361_290, 51_640_064)


def test_ratio_1_is_the_dense_network():
    assert g_ghost_resnet56(ratio=1).state_dict().keys() == resnet56().state_dict().keys()
    dense, twin = regnet_x(size=0.2), g_ghost_regnet_x(size=0.2, ratio=1)
    assert dense.state_dict().keys() == twin.state_dict().keys()
    assert not intrinsic_channels(twin)


@pytest.mark.parametrize(("name", "size"), [("800mf", 0.8), ("3_2gf", 3.2)])
def test_regnet_x_is_torchvisions(name, size):
    theirs = torchvision.models.get_model(f"regnet_x_{name}").eval()
    ours = regnet_x(size=size).eval()
    old, new = theirs.state_dict(), ours.state_dict()
    assert [value.shape for value in old.values()] == [value.shape for value in new.values()]
    ours.load_state_dict(dict(zip(new, old.values(), strict=True)))
    images = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        assert torch.equal(ours(images), theirs(images))


@pytest.mark.parametrize("size", SIZES)
def test_every_regnet_x_has_timms_parameters(size):
    timm = pytest.importorskip("timm", reason="parity needs timm: install ghostexp[timm]")
    with torch.device("meta"):
        theirs = timm.create_model(f"regnetx_{round(10 * size):03d}")
        ours = regnet_x(size=size)
    assert count_params(ours) == count_params(theirs)


@pytest.mark.parametrize("factory", [g_ghost_resnet56, lambda: g_ghost_regnet_x(size=0.2)])
def test_every_parameter_gets_a_finite_gradient(factory):
    net = factory()
    net(torch.randn(4, 3, 64, 64)).square().sum().backward()
    assert all(parameter.grad.isfinite().all() for parameter in net.parameters())


@pytest.mark.parametrize(
    ("factory", "settings", "sentence"),
    [
        (g_ghost_resnet56, {"ratio": 0}, "ratio must be a whole number of at least 1, not 0"),
        (g_ghost_regnet_x, {"ratio": 1.5}, "ratio must be a whole number of at least 1, not 1.5"),
        (g_ghost_regnet_x, {"size": 1.0}, "size is 0.2, 0.4, .* or 16.0, not 1.0"),
        (g_ghost_regnet_x, {"ratio": 9}, "ratio=9 leaves less than one group of 36 .* of 192"),
    ],
)
def test_bad_values_are_named(factory, settings, sentence):
    with pytest.raises(ValueError, match=sentence):
        factory(**settings)
