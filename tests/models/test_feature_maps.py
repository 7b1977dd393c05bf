"""Feature maps of a network: beside timm's of the same architecture, and beside its own maps."""

import pytest
import torch
from torch import nn

import ghostexp
from ghostexp.models import resnet20
from ghostexp.models.feature_maps import FeatureMaps


def test_maps_of_a_resnet_are_those_of_timm():
    timm = pytest.importorskip("timm")
    net = timm.create_model("resnet18", num_classes=3).eval()
    peer = timm.create_model("resnet18", features_only=True).eval()
    peer.load_state_dict(net.state_dict(), strict=False)
    maps = FeatureMaps(net, (3, 64, 64))
    assert (maps.channels, maps.reductions) == (
        peer.feature_info.channels(),
        peer.feature_info.reduction(),
    )
    images = torch.randn(2, 3, 64, 64)
    for ours, theirs in zip(maps(images), peer(images), strict=True):
        torch.testing.assert_close(ours, theirs)


def test_each_map_is_the_last_of_its_resolution():
    net = ghostexp.create_model("ghostnet", num_classes=5, features_only=True).eval()
    assert net.channels == [16, 24, 40, 112, 960]  # the table of the paper
    assert net.reductions == [2, 4, 8, 16, 32]
    shapes = [tuple(each.shape[1:]) for each in net(torch.zeros(1, 3, 64, 64))]
    assert shapes == [(16, 32, 32), (24, 16, 16), (40, 8, 8), (112, 4, 4), (960, 2, 2)]


def test_training_goes_on_in_the_same_parameters():
    net = resnet20(num_classes=3, in_channels=3)
    maps = FeatureMaps(net, (3, 32, 32))
    assert maps.training
    first, second = next(net.parameters()), next(maps.parameters())
    assert first is second
    assert not any("classifier" in name for name, _ in maps.named_parameters())


def test_a_network_whose_path_depends_on_values_is_refused():
    class Choosing(nn.Module):
        def forward(self, images):
            return images if images.sum() > 0 else -images

    with pytest.raises(ValueError, match="Choosing cannot be traced"):
        FeatureMaps(Choosing(), (3, 8, 8))
