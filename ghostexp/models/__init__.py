"""Networks: layers and a table of stages, with factories at the bottom of each file."""

from ghostexp.models.conversion_plan import ConversionPlan, ConversionRow
from ghostexp.models.convert import carry_out, convert_to_ghost, plan_conversion
from ghostexp.models.ghost_cifar import ghost_resnet56, ghost_vgg16
from ghostexp.models.resnet import CifarResNet, resnet20, resnet32, resnet44, resnet56, resnet110
from ghostexp.models.vgg import VGG, vgg16

__all__ = [
    "VGG",
    "CifarResNet",
    "ConversionPlan",
    "ConversionRow",
    "carry_out",
    "convert_to_ghost",
    "ghost_resnet56",
    "ghost_vgg16",
    "plan_conversion",
    "resnet20",
    "resnet32",
    "resnet44",
    "resnet56",
    "resnet110",
    "vgg16",
]
