"""ECA against timm's and its kernel sizes against the paper's formula."""

import pytest
import timm.layers
import torch

from ghostexp.layers.eca import ECA, eca_kernel_size


@pytest.mark.parametrize(
    ("channels", "size"),
    [(1, 1), (8, 3), (18, 3), (96, 3), (127, 3), (128, 5), (960, 5), (2047, 5), (2048, 7)],
)
def test_kernel_sizes(channels, size):
    assert eca_kernel_size(channels) == size
    assert ECA(channels).conv.weight.shape == (1, 1, size)


@pytest.mark.parametrize("channels", [24, 192])
def test_it_is_timms(channels):
    ours, theirs = ECA(channels), timm.layers.EcaModule(channels)
    theirs.load_state_dict(ours.state_dict())  # one convolution without bias in both
    maps = torch.randn(2, channels, 3, 5)
    torch.testing.assert_close(ours(maps), theirs(maps))


def test_maps_of_one_pixel_and_channels_last():
    layer = ECA(16)
    maps = torch.randn(4, 16, 1, 1)
    gates = torch.sigmoid(layer.conv(maps[:, :, 0, 0][:, None]))[:, 0]
    torch.testing.assert_close(layer(maps)[:, :, 0, 0], maps[:, :, 0, 0] * gates)
    wide = torch.randn(2, 16, 4, 4)
    torch.testing.assert_close(layer(wide.to(memory_format=torch.channels_last)), layer(wide))
