"""VGG-16 and Ghost-VGG-16: published sizes, gradients, small images."""

import pytest
import torch
from torch import nn

from ghostexp.analysis.complexity import count_macs, count_params, count_thop
from ghostexp.models import ghost_vgg16, vgg16
from ghostexp.models.vgg import VGG

IMAGE = (3, 32, 32)


def cost(net: nn.Module) -> tuple[int, int, int]:
    return count_params(net), count_macs(net, IMAGE), count_thop(net, IMAGE)


@pytest.fixture(autouse=True)
def without_start_weights(monkeypatch):
    """15 million random numbers for each net would be most of the time."""
    monkeypatch.setattr("ghostexp.models.vgg.init_weights", lambda net: None)
    monkeypatch.setattr("ghostexp.models.ghost.init_weights", lambda net: None)


def test_vgg16_costs():
    assert cost(vgg16()) == (14_990_922, 313_463_808, 314_569_728)


def test_ratio_one_is_vgg16_with_its_biases():
    assert cost(ghost_vgg16(ratio=1)) == (14_990_922, 313_463_808, 314_569_728)


def test_ghost_vgg16_costs():
    assert cost(ghost_vgg16()) == (7_650_474, 158_109_696, 159_215_616)
    assert count_params(ghost_vgg16(inner_norm=True)) == 7_650_474  # 2 divides every width


@pytest.mark.parametrize(
    ("ratio", "cheap_kernel_size", "params", "macs"),
    [
        (2, 1, 7_633_578, 157_003_776),
        (2, 5, 7_684_266, 160_321_536),
        (2, 7, 7_734_954, 163_639_296),
        (3, 3, 5_218_440, 107_240_040),
        (4, 3, 3_982_362, 80_432_640),
        (5, 3, 3_269_625, 65_665_296),
        (10, 3, 1_805_397, 34_742_448),
    ],
)
def test_ghost_vgg16_ablation(ratio, cheap_kernel_size, params, macs):
    net = ghost_vgg16(ratio=ratio, cheap_kernel_size=cheap_kernel_size)
    assert cost(net)[:2] == (params, macs)


@pytest.mark.parametrize("factory", [vgg16, ghost_vgg16])
def test_every_parameter_gets_a_finite_gradient(factory):
    net = factory(num_classes=7, in_channels=1)
    logits = net(torch.randn(2, 1, 32, 32))
    assert logits.shape == (2, 7)
    logits.square().sum().backward()
    assert all(parameter.grad.isfinite().all() for parameter in net.parameters())


def test_widths_are_column_d_of_the_paper():
    widths = [conv.out_channels for conv in vgg16().features if isinstance(conv, nn.Conv2d)]
    assert widths == [64, 64, 128, 128, 256, 256, 256, 512, 512, 512, 512, 512, 512]


def test_larger_images_are_averaged():
    net = VGG([(4, 1), (8, 1)], num_classes=5).eval()
    assert net(torch.randn(1, 3, 9, 17)).shape == (1, 5)


@pytest.mark.parametrize("size", [(28, 28), (31, 64), (64, 8)])
def test_small_image(size):
    sentence = f"at least 32x32 pixels, not {size[0]}x{size[1]}"
    with pytest.raises(ValueError, match=sentence):
        vgg16()(torch.zeros(1, 3, *size))
