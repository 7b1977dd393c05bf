"""Blocks of networks against the names of their layers."""

import pytest
import timm
import torch
import torchvision
from torch import nn

from ghostexp.models import ghost_vgg16, resnet20, vgg16
from ghostexp.models.ghostnet import ghostnet
from ghostexp.training.blocks import blocks

STEM_AND_STAGES = ["conv1 bn1", "layer1", "layer2", "layer3", "layer4", "fc"]


def layer_names(net: nn.Module) -> list[str]:
    """The names of each block's layers; a block of a container bears the container's name too."""
    names = {id(module): name for name, module in net.named_modules()}
    return [" ".join(names[id(layer)] for layer in block) for block in blocks(net)]


@pytest.mark.parametrize(
    ("factory", "expected"),
    [
        (torchvision.models.resnet18, STEM_AND_STAGES),
        (
            torchvision.models.efficientnet_v2_s,
            [*(f"features.{index}" for index in range(8)), "classifier"],
        ),
        (lambda: timm.create_model("resnet18"), STEM_AND_STAGES),
        (
            lambda: timm.create_model("convnext_atto"),
            ["stem", "stages.0", "stages.1", "stages.2", "stages.3", "head"],
        ),
        (resnet20, ["stem", *(f"blocks.{index}" for index in range(9)), "classifier"]),
        (
            ghostnet,
            [
                "stem",
                *(f"blocks.{index}" for index in range(16)),
                "last_conv",
                "head",
                "classifier",
            ],
        ),
    ],
    ids=["resnet18", "efficientnet_v2_s", "timm_resnet18", "convnext_atto", "resnet20", "ghostnet"],
)
def test_blocks_from_the_images_to_the_head(factory, expected):
    with torch.device("meta"):
        assert layer_names(factory()) == expected


@pytest.mark.parametrize("factory", [vgg16, ghost_vgg16])
def test_each_convolution_of_a_vgg_with_its_norm_is_a_block(factory):
    with torch.device("meta"):
        names = layer_names(factory())
    assert len(names) == 13 + 1
    assert names[:2] == ["features.0 features.1", "features.3 features.4"]


def test_a_network_may_name_its_blocks_itself():
    class Towers(nn.Module):
        def __init__(self):
            super().__init__()
            self.head, self.tower = nn.Linear(4, 2), nn.Linear(3, 4)

        def stages(self):
            return [self.tower, self.head]

    net = Towers()
    assert blocks(net) == [net.tower, net.head]


def test_parameters_outside_of_the_blocks_are_refused():
    with torch.device("meta"), pytest.raises(ValueError, match=r"\(class_token\): give it a"):
        blocks(torchvision.models.vit_b_16())
    with pytest.raises(ValueError, match=r"Linear has .* \(weight, bias\): give it a method"):
        blocks(nn.Linear(2, 2))
    with pytest.raises(ValueError, match="it has no parameters"):
        blocks(nn.ReLU())
