"""VGG-16 and Ghost-VGG-16: widths, gradients, small images; sizes: tests/test_figures.py."""

import pytest
import torch
from torch import nn

from ghostexp.models import ghost_vgg16, vgg16
from ghostexp.models.vgg import VGG


@pytest.fixture(autouse=True)
def without_start_weights(monkeypatch):
    """15 million random numbers for each net would be most of the time."""
    monkeypatch.setattr("ghostexp.models.vgg.init_weights", lambda net: None)
    monkeypatch.setattr("ghostexp.models.ghost_cifar.init_weights", lambda net: None)


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
