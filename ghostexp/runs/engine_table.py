"""What `ghostexp benchmark engines` times: the Ghost forms beside smaller dense networks.

A Ghost network that is faster than the network it was made from says little: a smaller dense
network is faster, too. Each group therefore holds both, and all networks of a group take turns.
"""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from importlib.util import find_spec
from typing import Any

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from ghostexp.config.explain import UserError
from ghostexp.deploy.forms import Subject
from ghostexp.deploy.latency import time_inference
from ghostexp.models import (
    g_ghost_regnet_x,
    g_ghost_resnet56,
    ghost_resnet56,
    ghostnet,
    regnet_x,
    repghostnet,
    resnet32,
    resnet44,
    resnet56,
)

FORMS = ("eager", "fused", "onnxruntime", "openvino", "native")

Factories = dict[str, Callable[[], nn.Module]]


@dataclass(frozen=True)
class Group:
    """Networks of one task; the first is what the others are compared with."""

    title: str
    networks: Factories
    input_shape: tuple[int, int, int]
    batch_size: int
    threads: int

    def subjects(self) -> list[Subject]:
        """The networks with random weights, the same in every process."""
        torch.manual_seed(0)
        reference = next(iter(self.networks))
        return [
            Subject(name, _settled(build(), self.input_shape), self.input_shape, reference)
            for name, build in self.networks.items()
        ]


@torch.no_grad()
def _settled(net: nn.Module, input_shape: tuple[int, int, int]) -> nn.Module:
    """`net` with the batch statistics of noise.

    Without them the logits of a RepGhostNet are as large as 1e10, and a rounding error of an engine
    may open or close a gate.
    """
    for norm in (module for module in net.modules() if isinstance(module, _BatchNorm)):
        norm.momentum = 1.0
    net.train()(torch.randn(4, *input_shape))
    return net.eval()


def groups() -> dict[str, Group]:
    """The groups by the names that --groups takes; UserError without timm, which has two peers."""
    if find_spec("timm") is None:
        raise UserError("engines needs timm: pip install 'ghostexp[timm]'")
    import timm

    cifar: Factories = {
        "ResNet-56": resnet56,
        "ResNet-44": resnet44,
        "ResNet-32": resnet32,
        "Ghost-ResNet-56": ghost_resnet56,
        "G-Ghost-ResNet-56": g_ghost_resnet56,
    }
    mobile: Factories = {
        "MobileNetV3-Large": lambda: timm.create_model("mobilenetv3_large_100"),
        "MobileNetV4-conv-small": lambda: timm.create_model("mobilenetv4_conv_small"),
        "GhostNet 1.0": ghostnet,
        "RepGhostNet 1.0": repghostnet,
    }
    regnets: Factories = {
        "RegNetX 3.2": regnet_x,
        "RegNetX 1.6": lambda: regnet_x(size=1.6),
        "G-Ghost RegNetX 3.2": g_ghost_regnet_x,
    }
    imagenet = (3, 224, 224)
    return {
        "cifar": Group("CIFAR-10, 32x32 pixels", cifar, (3, 32, 32), 128, 2),
        "mobile": Group("ImageNet, 224x224 pixels", mobile, imagenet, 1, 1),
        "regnet": Group("ImageNet, 224x224 pixels, RegNets", regnets, imagenet, 1, 1),
    }


def time_engines(
    chosen: Sequence[Group], forms: Sequence[str], rounds: int
) -> list[dict[str, Any]]:
    """The fields of a `Measurement` for each network of each group in each form, with `group`."""
    rows = []
    for group in chosen:
        measurements = time_inference(
            group.subjects(),
            forms,
            batch_sizes=[group.batch_size],
            threads=[group.threads],
            rounds=rounds,
        )
        rows += [asdict(measurement) | {"group": group.title} for measurement in measurements]
    return rows
