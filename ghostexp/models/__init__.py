"""Networks: layers and a table of stages, with factories at the bottom of each file."""

from ghostexp.models.conversion_plan import ConversionPlan, ConversionRow
from ghostexp.models.convert import carry_out, convert_to_ghost, plan_conversion
from ghostexp.models.efficientnet import efficientnet_v2_l, efficientnet_v2_m, efficientnet_v2_s
from ghostexp.models.g_ghost_regnet import RegNetX, g_ghost_regnet_x, regnet_x
from ghostexp.models.g_ghost_resnet import g_ghost_resnet56
from ghostexp.models.ghost_cifar import ghost_resnet56, ghost_vgg16
from ghostexp.models.ghost_efficientnet import ghost_efficientnet_v2
from ghostexp.models.ghost_resnet50 import ghost_resnet50
from ghostexp.models.ghostnet import ghostnet  # in the place of the module of this name
from ghostexp.models.ghostnet_v2 import ghostnet_v2
from ghostexp.models.ghostnet_v3 import ghostnet_v3
from ghostexp.models.repghostnet import repghostnet  # in the place of the module of this name
from ghostexp.models.resnet import CifarResNet, resnet20, resnet32, resnet44, resnet56, resnet110
from ghostexp.models.vgg import VGG, vgg16

__all__ = [
    "VGG",
    "CifarResNet",
    "ConversionPlan",
    "ConversionRow",
    "RegNetX",
    "carry_out",
    "convert_to_ghost",
    "efficientnet_v2_l",
    "efficientnet_v2_m",
    "efficientnet_v2_s",
    "g_ghost_regnet_x",
    "g_ghost_resnet56",
    "ghost_efficientnet_v2",
    "ghost_resnet50",
    "ghost_resnet56",
    "ghost_vgg16",
    "ghostnet",
    "ghostnet_v2",
    "ghostnet_v3",
    "plan_conversion",
    "regnet_x",
    "repghostnet",
    "resnet20",
    "resnet32",
    "resnet44",
    "resnet56",
    "resnet110",
    "vgg16",
]
