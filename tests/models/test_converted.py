"""model=converted: torchvision's and timm's networks, one training step each."""

import logging

import pytest
import torch
from torch import nn

from ghostexp.config.audit import audit
from ghostexp.config.build import build_network
from ghostexp.config.choices import CONFIG_FOLDER
from ghostexp.config.cli import compose_config
from ghostexp.config.explain import UserError
from ghostexp.layers import GhostModule
from ghostexp.models import convert_to_ghost, plan_conversion

TORCHVISION = "model.net._target_=torchvision.models"


def converted(*overrides: str) -> nn.Module:
    cfg = compose_config(["model=converted", "dataset=cifar10", *overrides])
    audit(cfg, [CONFIG_FOLDER])
    return build_network(cfg)


def ghosts(net: nn.Module) -> list[str]:
    return [name for name, module in net.named_modules() if isinstance(module, GhostModule)]


def step(net: nn.Module, channels: int = 3, side: int = 64) -> None:
    """One step of SGD: a gradient for every parameter, and other, finite weights after it."""
    before = [weight.detach().clone() for weight in net.parameters()]
    optimizer = torch.optim.SGD(net.parameters(), lr=0.01)
    logits = net.train()(torch.randn(2, channels, side, side))
    assert logits.shape == (2, 10)
    loss = nn.functional.cross_entropy(logits, torch.tensor([1, 7]))
    loss.backward()
    missing = [name for name, weight in net.named_parameters() if not weight.grad.any()]
    assert missing == []
    assert dead_taps(net) == 0
    optimizer.step()
    assert all(weight.isfinite().all() for weight in net.parameters())
    moved = [not torch.equal(*pair) for pair in zip(before, net.parameters(), strict=True)]
    assert sum(moved) > len(moved) / 2  # ConvNeXt's layer scales of 1e-6 leave some below rounding


def dead_taps(net: nn.Module) -> int:
    """Positions in cheap kernels whose weights got no gradient in any channel."""
    cheap = [m.cheap_operation[0].weight.grad for m in net.modules() if isinstance(m, GhostModule)]
    return sum(int((gradient.abs().amax((0, 1)) == 0).sum()) for gradient in cheap)


@pytest.mark.parametrize(
    ("name", "replaced", "kept"),
    [
        ("resnet18", 20, 0),  # 1 + 16 + 3 shortcuts
        ("mobilenet_v3_large", 31, 15),  # 15 blocks with a depthwise convolution each
        ("efficientnet_v2_s", 80, 30),  # 30 MBConv blocks, two of squeeze and excitation in each
        ("vgg11_bn", 8, 0),
        ("densenet121", 120, 0),  # 1 + 2 * 58 + 3
    ],
)
def test_torchvision_network_trains_a_step(name, replaced, kept):
    net = converted(f"{TORCHVISION}.{name}", "dataset.image_size=64")
    assert len(ghosts(net)) == replaced
    grouped = [m for m in net.modules() if isinstance(m, nn.Conv2d) and m.groups > 1]
    assert len(grouped) == kept + replaced  # a cheap operation in each Ghost module
    step(net)


def test_timm_network_trains_a_step():
    pytest.importorskip("timm", reason="timm is an extra")
    net = converted(
        "model.net._target_=timm.create_model",
        "+model.net.model_name=convnext_atto",
        "+model.net.in_chans=1",
    )
    assert "stem.0" in ghosts(net)
    assert not any("conv_dw" in name for name in ghosts(net))  # depthwise already
    step(net, channels=1)


def test_the_size_of_the_images_decides_which_layers_stay():
    """ResNet-18 shrinks 32 pixels to one: the last five layers would have dead weights."""
    found = ghosts(converted())
    assert len(found) == 15
    assert not any(name.startswith("layer4") for name in found)


def test_our_own_network_with_chosen_layers():
    net = converted(
        "model.net._target_=ghostexp.models.resnet20",
        "model.only=[blocks.8.conv1,blocks.8.conv2]",
        "model.ratio=4",
    )
    assert ghosts(net) == ["blocks.8.conv1", "blocks.8.conv2"]


def test_inner_norm_and_skip_reach_the_conversion():
    net = converted("model.inner_norm=true", "model.skip=[conv1]")
    assert isinstance(net.conv1, nn.Conv2d)
    assert isinstance(net.layer1[0].conv1.primary_conv[1], nn.BatchNorm2d)


def test_a_pattern_that_matches_nothing_is_one_sentence():
    with pytest.raises(UserError, match=r"model: only: none of the network's 20 convolutions"):
        converted("model.only=[nowhere]")


@pytest.mark.parametrize(
    ("net", "reason"),
    [
        (nn.Sequential(nn.Flatten(), nn.Linear(4, 2)), "it has no Conv2d"),
        (nn.Sequential(nn.Conv2d(4, 4, 3, groups=4)), "grouped, groups=4"),
    ],
    ids=["linear", "depthwise"],
)
def test_nothing_to_convert_is_said(net, reason, caplog):
    with caplog.at_level(logging.WARNING):
        convert_to_ghost(net)
    assert "nothing to convert" in caplog.text
    assert reason in caplog.text


def test_nothing_to_convert_is_said_of_a_configured_network(caplog):
    linear = ["model.net._target_=torch.nn.Linear", "~model.net.num_classes"]
    with caplog.at_level(logging.WARNING):
        net = converted(*linear, "+model.net.in_features=4", "+model.net.out_features=2")
    assert type(net) is nn.Linear
    assert "Linear holds nothing to convert and stays as it is: it has no Conv2d" in caplog.text


def test_the_dense_network_has_nothing_to_say(caplog):
    with caplog.at_level(logging.WARNING):
        convert_to_ghost(nn.Sequential(nn.Conv2d(4, 4, 3)), ratio=1)
    assert caplog.text == ""


def test_plan_of_the_dense_network_is_what_is_built():
    dense = converted("model.ratio=1")
    rows = plan_conversion(dense, 2, image_size=32).rows
    assert ghosts(converted()) == [row.name for row in rows if row.replaced]
