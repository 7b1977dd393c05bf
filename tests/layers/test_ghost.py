"""GhostModule against the paper's formulas and against plain loops."""

from functools import partial
from math import ceil

import pytest
import torch
from torch import nn
from torch.nn.functional import conv2d, relu

from ghostexp.layers import GhostModule


def params(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


@pytest.mark.parametrize("ratio", [2, 3, 4, 8, 10, 16])
@pytest.mark.parametrize(("kernel_size", "cheap_kernel_size"), [(1, 3), (3, 1), (3, 5)])
def test_params_follow_the_papers_formula(ratio, kernel_size, cheap_kernel_size):
    ghost = GhostModule(6, 16, kernel_size, ratio=ratio, cheap_kernel_size=cheap_kernel_size)
    intrinsic = ceil(16 / ratio)
    expected = intrinsic * 6 * kernel_size**2 + intrinsic * (ratio - 1) * cheap_kernel_size**2
    assert params(ghost) == expected


def test_cheap_operation_is_depthwise():
    # 64 -> 64, k = 3, s = 2, d = 3: 32 * 64 * 9 + 32 * 9, not 32 * 32 * 9 in the second term
    assert params(GhostModule(64, 64, 3)) == 18_720


def test_one_output_equals_plain_loops():
    torch.manual_seed(0)
    ghost = GhostModule(2, 4, 3)
    images = torch.randn(1, 2, 5, 5)
    primary, cheap = ghost.primary_conv[0].weight, ghost.cheap_operation[0].weight

    def intrinsic(channel: int, row: int, column: int) -> float:
        total = 0.0
        for c in range(2):
            for i in range(3):
                for j in range(3):
                    y, x = row + i - 1, column + j - 1
                    if 0 <= y < 5 and 0 <= x < 5:
                        total += (primary[channel, c, i, j] * images[0, c, y, x]).item()
        return total

    ghost_map = sum(
        cheap[1, 0, i, j].item() * intrinsic(1, 2 + i - 1, 3 + j - 1)
        for i in range(3)
        for j in range(3)
    )
    maps = ghost(images)
    assert maps[0, 1, 2, 3].item() == pytest.approx(intrinsic(1, 2, 3), abs=1e-5)
    assert maps[0, 3, 2, 3].item() == pytest.approx(ghost_map, abs=1e-5)  # ghost of map 1


def test_ghosts_of_one_map_are_neighbours_behind_the_intrinsic_maps():
    ghost = GhostModule(3, 12, 3, ratio=3)
    images = torch.randn(2, 3, 6, 6)
    intrinsic = conv2d(images, ghost.primary_conv[0].weight, padding=1)
    weight = ghost.cheap_operation[0].weight
    maps = ghost(images)
    torch.testing.assert_close(maps[:, :4], intrinsic)
    for number in range(8):
        own = intrinsic[:, number // 2 : number // 2 + 1]
        expected = conv2d(own, weight[number : number + 1], padding=1)
        torch.testing.assert_close(maps[:, 4 + number : 5 + number], expected)


def test_surplus_maps_are_cut_and_learn_nothing():
    ghost = GhostModule(3, 16, ratio=10)  # 2 intrinsic maps and 18 ghosts for 16 channels
    maps = ghost(torch.randn(2, 3, 4, 4))
    assert maps.shape == (2, 16, 4, 4)
    maps.square().sum().backward()
    used = ghost.cheap_operation[0].weight.grad.abs().sum(dim=(1, 2, 3)) > 0
    assert used.tolist() == [True] * 14 + [False] * 4


def test_ratio_one_is_the_plain_convolution():
    ghost = GhostModule(3, 8, 3, stride=2, ratio=1)
    images = torch.randn(2, 3, 8, 8)
    expected = conv2d(images, ghost.primary_conv[0].weight, stride=2, padding=1)
    torch.testing.assert_close(ghost(images), expected)
    assert params(ghost) == 3 * 8 * 9


def test_ratio_of_all_channels_keeps_one_intrinsic_map():
    assert GhostModule(3, 16, ratio=16).primary_conv[0].out_channels == 1


@pytest.mark.parametrize("kernel_size", [1, 3, 5])
@pytest.mark.parametrize("stride", [1, 2])
def test_stride_is_the_primary_convolutions(kernel_size, stride):
    ghost = GhostModule(3, 8, kernel_size, stride, cheap_kernel_size=5)
    plain = nn.Conv2d(3, 8, kernel_size, stride, kernel_size // 2)
    images = torch.randn(1, 3, 9, 9)
    assert ghost(images).shape == plain(images).shape


def test_every_parameter_gets_a_gradient():
    ghost = GhostModule(3, 7, 3, norm_layer=nn.BatchNorm2d, activation_layer=nn.ReLU)
    ghost(torch.randn(2, 3, 5, 5)).square().sum().backward()
    assert all(parameter.grad is not None for parameter in ghost.parameters())


def test_norm_and_activation_end_both_halves():
    ghost = GhostModule(3, 8, norm_layer=nn.BatchNorm2d, activation_layer=nn.ReLU).eval()
    images = torch.randn(2, 3, 5, 5)
    intrinsic = relu(ghost.primary_conv[1](ghost.primary_conv[0](images)))
    cheap_conv, cheap_norm, _ = ghost.cheap_operation
    expected = torch.cat([intrinsic, relu(cheap_norm(cheap_conv(intrinsic)))], dim=1)
    torch.testing.assert_close(ghost(images), expected)
    assert params(ghost) == 4 * 3 + 4 * 9 + 2 * 8


def test_norm_without_activation():
    ghost = GhostModule(3, 8, norm_layer=partial(nn.BatchNorm2d, eps=0.5))
    assert [type(layer) for layer in ghost.primary_conv] == [nn.Conv2d, nn.BatchNorm2d]
    assert ghost.cheap_operation[1].eps == 0.5
    assert ghost(torch.randn(2, 3, 5, 5)).min() < 0


@pytest.mark.parametrize("ratio", [0, -1, 2.5, 17])
def test_bad_ratio(ratio):
    with pytest.raises(ValueError, match=f"from 1 to the layer's 16 output channels, not {ratio}"):
        GhostModule(3, 16, ratio=ratio)


@pytest.mark.parametrize("cheap_kernel_size", [0, -3, 2, 3.0])
def test_bad_cheap_kernel(cheap_kernel_size):
    with pytest.raises(ValueError, match=f"odd whole number, not {cheap_kernel_size}"):
        GhostModule(3, 16, cheap_kernel_size=cheap_kernel_size)


@pytest.mark.parametrize(
    "conv",
    [
        nn.Conv2d(3, 8, 3, padding=2, dilation=2),
        nn.Conv2d(3, 8, (3, 5), stride=(2, 1), padding=(0, 2)),
        nn.Conv2d(3, 8, 3, padding="same", padding_mode="reflect"),
        nn.Conv2d(3, 8, 4, stride=4),
    ],
)
def test_from_conv_keeps_the_geometry(conv):
    images = torch.randn(2, 3, 12, 12)
    assert GhostModule.from_conv(conv, ratio=3).forward(images).shape == conv(images).shape
    twin = GhostModule.from_conv(conv, ratio=1, bias=True)
    twin.primary_conv[0].load_state_dict(conv.state_dict())
    torch.testing.assert_close(twin(images), conv(images))


def test_from_conv_bias_is_in_both_halves():
    conv = nn.Conv2d(3, 8, 3)
    bare, biased = GhostModule.from_conv(conv), GhostModule.from_conv(conv, bias=True)
    assert params(biased) - params(bare) == 8
    assert bare.primary_conv[0].bias is None
    assert biased.cheap_operation[0].bias.shape == (4,)


def test_from_conv_keeps_dtype_and_mode():
    ghost = GhostModule.from_conv(nn.Conv2d(3, 8, 3, dtype=torch.float64).eval())
    assert {parameter.dtype for parameter in ghost.parameters()} == {torch.float64}
    assert not any(module.training for module in ghost.modules())
