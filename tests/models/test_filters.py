"""init=filters: trained filters that stay, and kernels that make the others of them."""

import pytest
import torch
from torch import nn

from ghostexp.layers import GhostModule
from ghostexp.layers.channel_order import ChannelOrder
from ghostexp.models import convert_to_ghost, resnet20
from ghostexp.models.filters import fit_kernels, group_filters, keep_filters


def redundant_conv(ratio: int, *, stride: int = 1, dilation: int = 1, bias: bool) -> nn.Conv2d:
    """A convolution that is a Ghost module in disguise: its filters, in a random order."""
    made = 4 * ratio
    conv = nn.Conv2d(3, made, 5, stride, 2 * dilation, dilation, bias=bias, dtype=torch.float64)
    with torch.no_grad():
        conv.weight.zero_()
        conv.weight[:4, :, 1:4, 1:4].normal_()
        conv.weight[4:] = conv.weight[:4].repeat(ratio - 1, 1, 1, 1)
        shuffled = torch.randperm(made)
        scales = torch.linspace(0.5, 2, made, dtype=torch.float64)[:, None, None, None]
        conv.weight.copy_((conv.weight * scales)[shuffled])
    return conv


@pytest.mark.parametrize("ratio", [2, 3])
@pytest.mark.parametrize(("stride", "dilation"), [(1, 1), (2, 1), (1, 2)])
@pytest.mark.parametrize("bias", [False, True])
def test_redundant_filters_are_kept_exactly(ratio, stride, dilation, bias):
    torch.manual_seed(0)
    conv = redundant_conv(ratio, stride=stride, dilation=dilation, bias=bias)
    layer = keep_filters(conv, GhostModule.from_conv(conv, ratio=ratio, bias=bias))
    images = torch.randn(2, 3, 12, 12, dtype=torch.float64)
    torch.testing.assert_close(layer(images), conv(images), rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("size", [3, 5])
def test_a_fitted_kernel_is_the_best_one(stride, size):
    """Against numpy's own least squares on the maps of white noise, away from the border."""
    torch.manual_seed(0)
    conv = nn.Conv2d(2, 2, 3, stride, bias=False)
    kernels, explained = fit_kernels(conv, size)
    maps = conv(torch.randn(1, 2, 600, 600)).detach()[0]
    patches = nn.functional.unfold(maps[:1, None], size)[0].T  # [L, size * size]
    margin = size // 2
    wanted = maps[1, margin:-margin, margin:-margin].flatten()
    best = torch.linalg.lstsq(patches, wanted[:, None])
    found = kernels(0, 1).flatten()
    torch.testing.assert_close(found, best.solution[:, 0], atol=0.02, rtol=0)
    left = (wanted - patches @ found).var() / wanted.var()
    assert left == pytest.approx(1 - float(explained[0, 1]), abs=0.02)


@pytest.mark.parametrize(("count", "ratio"), [(8, 2), (7, 2), (10, 3), (11, 4), (16, 16)])
def test_every_filter_has_its_place(count, ratio):
    torch.manual_seed(0)
    sources = -(-count // ratio)
    groups = group_filters(torch.rand(count, count), sources, ratio - 1)
    assert len(groups) == sources
    everyone = [*groups, *(made for group in groups.values() for made in group)]
    assert sorted(everyone) == list(range(count))
    assert all(len(group) == ratio - 1 for group in list(groups.values())[:-1])


def test_filters_that_explain_each_other_are_paired():
    explained = torch.tensor(
        [[1.0, 0.1, 0.9, 0.2], [0.1, 1, 0.2, 0.3], [0.5, 0.2, 1, 0.1], [0.1, 0.8, 0.1, 1]]
    )
    assert group_filters(explained, 2, 1) == {0: [2], 3: [1]}


@pytest.mark.parametrize("ratio", [3, 5])
def test_ratios_that_do_not_divide(ratio):
    conv = nn.Conv2d(4, 16, 3, padding=1)
    layer = keep_filters(conv, GhostModule.from_conv(conv, ratio=ratio, bias=True))
    images = torch.randn(1, 4, 8, 8)
    assert layer(images).shape == (1, 16, 8, 8)
    sources = -(-16 // ratio)
    same = (layer(images) - conv(images)).abs().amax((0, 2, 3)) < 1e-5
    assert same.sum() >= sources  # the maps of the filters that stay


def test_a_trained_network_keeps_more_than_chance():
    """Maps behind the first norm resemble the dense ones; those of fresh weights do not."""
    torch.manual_seed(0)
    dense, kept, fresh = resnet20(), resnet20(), resnet20()
    for net in (kept, fresh):
        net.load_state_dict(dense.state_dict())
    convert_to_ghost(kept, init="filters", only=["*"])
    convert_to_ghost(fresh, only=["*"])
    assert sum(isinstance(m, ChannelOrder) for m in kept.modules()) == 21
    images = torch.randn(8, 3, 32, 32)
    wanted = dense.stem(images).flatten()
    likeness = [
        torch.corrcoef(torch.stack([wanted, net.stem(images).flatten()]))[0, 1]
        for net in (kept, fresh)
    ]
    assert likeness[0] > 0.6
    assert likeness[0] > likeness[1] + 0.1


def test_wrong_values():
    net = resnet20()
    with pytest.raises(ValueError, match="init is fresh or filters, not best"):
        convert_to_ghost(net, init="best")
    with pytest.raises(ValueError, match="init=filters keeps the batch norm"):
        convert_to_ghost(net, init="filters", inner_norm=True)
    assert not any(isinstance(module, GhostModule) for module in net.modules())
