"""What a trial run sees of a network's forward, and what the conversion makes of it."""

import logging
import re
from copy import deepcopy

import pytest
import torch
import torchvision
from torch import nn
from torch.nn.functional import conv2d

from ghostexp.layers import GhostModule
from ghostexp.layers.rep_ghost import rep_ghost
from ghostexp.models import convert_to_ghost, plan_conversion
from ghostexp.models.trial_run import try_out


def reasons(net: nn.Module, ratio: int = 2, **options: object) -> dict[str, str]:
    """Of the convolutions that stay."""
    rows = plan_conversion(net, ratio, **options).rows
    return {row.name: row.reason for row in rows if not row.replaced}


def timm_network(name: str) -> nn.Module:
    timm = pytest.importorskip("timm", reason="timm is an extra")
    return timm.create_model(name, num_classes=10)


@pytest.mark.parametrize("name", ["resnetv2_50", "resnetv2_50x1_bit"])
def test_timm_networks_whose_classes_come_from_a_convolution(name):
    stay = reasons(timm_network(name))
    assert "network's output" in stay["head.fc"]


def test_squeezenet_keeps_ten_independent_classes():
    net = torchvision.models.squeezenet1_1(num_classes=10)
    assert [*reasons(net)] == ["classifier.1"]
    convert_to_ghost(net)
    maps = net.classifier[1](net.features(torch.randn(8, 3, 64, 64)))  # [8, 10, 3, 3]
    rank = torch.linalg.matrix_rank(maps.transpose(0, 1).flatten(1))
    assert rank == 10  # it was 5 where half of the classes were copies


def test_only_overrides_the_judgement_but_not_what_is_impossible():
    net = torchvision.models.squeezenet1_1(num_classes=10)
    convert_to_ghost(net, only=["classifier.1"])
    assert isinstance(net.classifier[1], GhostModule)
    depthwise = nn.Sequential(nn.Conv2d(4, 4, 3, groups=4), nn.Conv2d(4, 3, 1))
    assert reasons(depthwise, 4, only=["*"]) == {
        "0": "grouped, groups=4",
        "1": "its 3 output channels are fewer than the ratio 4",
    }


@pytest.mark.parametrize(
    ("name", "outputs"),
    [
        ("retinanet_resnet50_fpn", ["cls_logits", "bbox_reg"]),
        ("fcos_resnet50_fpn", ["cls_logits", "bbox_reg"]),
        ("fasterrcnn_mobilenet_v3_large_320_fpn", ["cls_logits", "bbox_pred"]),
    ],
)
def test_detection_heads_stay_though_no_trace_can_follow_a_detector(name, outputs):
    net = torchvision.models.get_model(name, weights=None, weights_backbone=None)
    before = deepcopy(net.state_dict())
    stay = reasons(net)
    found = [layer for layer, reason in stay.items() if "network's output" in reason]
    assert [layer.rpartition(".")[2] for layer in found] == outputs
    after = net.state_dict()  # the trial ran on a copy
    assert all(torch.equal(value, after[key]) for key, value in before.items())
    assert net.training


def test_segmentation_keeps_its_two_outputs():
    net = torchvision.models.segmentation.fcn_resnet50(
        weights=None, weights_backbone=None, aux_loss=True
    )
    assert [*reasons(net)] == ["classifier.4", "aux_classifier.4"]


def test_a_layer_with_fewer_channels_than_the_ratio_stays():
    net = timm_network("efficientnet_b0")
    stay = reasons(net, 5)
    few = "its 4 output channels are fewer than the ratio 5"
    assert [layer for layer, reason in stay.items() if reason == few] == [
        "blocks.1.0.se.conv_reduce"
    ]
    assert sum(isinstance(m, GhostModule) for m in convert_to_ghost(net, 5).modules()) > 0


@pytest.mark.parametrize(
    ("size", "cheap", "stays"), [(4, 3, True), (8, 3, False), (8, 5, True), (4, 1, False)]
)
def test_maps_too_small_for_the_cheap_kernel(size, cheap, stays):
    """Four strides of 2 before the layer: maps of 1x1, 2x2 pixels."""
    net = nn.Sequential(
        nn.AvgPool2d(4), nn.Conv2d(3, 64, 3, padding=1), nn.Flatten(), nn.LazyLinear(10)
    )
    net(torch.zeros(1, 3, size, size))
    stay = reasons(net, 2, cheap_kernel_size=cheap, image_size=size)
    assert ("1" in stay) is stays
    if stays:
        assert f"{size // 4}x{size // 4} pixels" in stay["1"]


def test_a_layer_that_would_grow_stays():
    net = nn.Sequential(nn.Conv2d(4, 8, 1), nn.Conv2d(8, 8, 3), nn.Flatten(), nn.LazyLinear(2))
    net(torch.zeros(1, 4, 32, 32))
    assert reasons(net) == {"0": "a Ghost module would not be smaller, 40 -> 60 params"}


class ReadsItsConvolution(nn.Module):
    """As XCiT and EdgeNeXt ask a convolution for its device, and as others compute with it."""

    def __init__(self) -> None:
        super().__init__()
        self.asked = nn.Conv2d(3, 8, 3)
        self.computed = nn.Conv2d(8, 8, 3)
        self.called = nn.Conv2d(8, 8, 3)
        self.classes = nn.Linear(8, 2)

    def forward(self, images):
        maps = self.asked(images.to(self.asked.weight.dtype))
        maps = conv2d(maps, self.computed.weight)
        return self.classes(self.called(maps).mean((2, 3)))


def test_a_layer_whose_weight_the_network_reads_stays():
    net = ReadsItsConvolution()
    assert "reads its weight itself" in reasons(net)["asked"]
    assert [*reasons(net)] == ["asked", "computed"]
    convert_to_ghost(net)
    net(torch.randn(1, 3, 16, 16)).sum().backward()
    assert type(net.asked) is nn.Conv2d  # no watcher is left behind


@pytest.mark.parametrize("name", ["xcit_nano_12_p16_224", "edgenext_xx_small"])
def test_timm_networks_that_read_their_convolutions_run(name):
    net = timm_network(name)
    stay = reasons(net)
    assert [layer.rpartition(".")[2] for layer, why in stay.items() if "reads its" in why] == [
        "token_projection"
    ]
    size = net.default_cfg["input_size"][-1]
    assert convert_to_ghost(net).eval()(torch.randn(1, 3, size, size)).shape == (1, 10)


@pytest.mark.parametrize(
    ("name", "primary", "count"),
    [
        ("ghostnet_100", "primary_conv", 32),
        ("ghostnetv2_100", "primary_conv", 32),
        ("ghostnetv3_100", "primary_rpr_conv", 96),
        ("repghostnet_100", "primary_conv", 32),
    ],
)
def test_others_ghost_modules_are_recognised(name, primary, count):
    net = timm_network(name)
    stay = reasons(net)
    ghosts = [layer for layer, reason in stay.items() if reason == "part of a Ghost module"]
    assert len(ghosts) == count
    assert ghosts == [
        layer
        for layer, module in net.named_modules()
        if f"{primary}." in layer and isinstance(module, nn.Conv2d)
    ]


def test_our_own_ghost_modules_with_branches_are_recognised():
    net = nn.Sequential(rep_ghost(8, 16), nn.Flatten(), nn.LazyLinear(2))
    net(torch.zeros(2, 8, 8, 8))
    assert {*reasons(net).values()} == {"part of a Ghost module"}


def test_what_only_looks_like_a_ghost_module():
    """A residual around a depthwise convolution, and copies of other maps than the joined ones."""
    net = timm_network("convmixer_768_32")
    assert all(reason.startswith("grouped") for reason in reasons(net).values())
    net = timm_network("inception_next_tiny")  # split, some parts filtered, joined again
    assert all(reason.startswith("grouped") for reason in reasons(net).values())


class RegisteredAskew(nn.Module):
    """The norm registered behind the second convolution is that of the first."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(3, 8, 3), nn.Conv2d(8, 8, 3)
        self.norm = nn.BatchNorm2d(8)
        self.classes = nn.Linear(8, 2)

    def forward(self, images):
        return self.classes(self.second(self.norm(self.first(images))).mean((2, 3)))


class Unrunnable(RegisteredAskew):
    """No images that a trial knows fit."""

    def forward(self, images):
        if images.shape[-1] != 17:
            raise ValueError("images are 17 pixels wide")
        return super().forward(images)


def test_the_norm_behind_is_found_by_the_flow_of_maps():
    net = convert_to_ghost(RegisteredAskew())
    assert net.first.primary_conv[0].bias is None
    assert net.second.primary_conv[0].bias is not None
    moved = convert_to_ghost(RegisteredAskew(), inner_norm=True)
    assert isinstance(moved.first.primary_conv[1], nn.BatchNorm2d)
    assert isinstance(moved.norm, nn.Identity)


def test_order_of_registration_is_said_where_no_trial_can_be_had(caplog):
    rows = plan_conversion(Unrunnable()).rows
    assert rows[1].reason.endswith("a batch norm follows, by order of registration")
    with caplog.at_level(logging.WARNING):
        convert_to_ghost(Unrunnable())
    assert "could not be run on trial images (ValueError: images are 17 pixels wide)" in caplog.text
    caplog.clear()
    with caplog.at_level(logging.WARNING):
        net = convert_to_ghost(Unrunnable(), image_size=17)
    assert net.second.primary_conv[0].bias is not None
    assert "could not be run" not in caplog.text


def test_maps_that_two_layers_read_keep_their_bias():
    class Tapped(RegisteredAskew):
        def forward(self, images):
            maps = self.first(images)
            return self.classes(self.second(self.norm(maps) + maps).mean((2, 3)))

    assert convert_to_ghost(Tapped()).first.primary_conv[0].bias is not None


def test_the_trial_leaves_network_and_random_numbers_alone():
    net = torchvision.models.resnet18()
    net.train()
    before = deepcopy(net.state_dict())
    torch.manual_seed(0)
    expected = torch.rand(1)
    torch.manual_seed(0)
    trial = try_out(net)
    assert torch.equal(torch.rand(1), expected)
    assert trial.failure is None
    assert len(trial.flows) == 20
    assert all(torch.equal(value, net.state_dict()[key]) for key, value in before.items())
    assert not any(module._forward_hooks for module in net.modules())


def test_a_trained_network_is_told_that_it_loses_its_filters(caplog):
    net = torchvision.models.resnet18()
    with caplog.at_level(logging.WARNING):
        convert_to_ghost(deepcopy(net))
    assert caplog.text == ""
    net(torch.randn(2, 3, 64, 64))  # a batch norm has seen images
    with caplog.at_level(logging.WARNING):
        convert_to_ghost(net)
    assert re.search("is trained, and its 20 replaced .* lose their filters", caplog.text)
