"""Fused against unfused: every network of conf/model, its statistics far from the identity."""

import re
from copy import deepcopy

import pytest
import torch
from helpers import ROOT
from torch import nn
from torchvision.models import densenet121
from torchvision.models.detection import fasterrcnn_mobilenet_v3_large_320_fpn
from torchvision.ops import FrozenBatchNorm2d

from ghostexp.config.build import build_network
from ghostexp.config.cli import compose_config
from ghostexp.deploy.fuse import FoldedGhost, batch_norms, fuse
from ghostexp.layers import GhostModule
from ghostexp.layers.fast_ghost import FastGhostModule
from ghostexp.layers.fast_norm import FastBatchNorm2d, use_fast_norm
from ghostexp.models import ghost_resnet56, ghost_vgg16

COUNTS = {  # network -> its batch norms: one a convolution, or what a comment says
    "ghost_resnet56": 57,
    "ghost_vgg16": 13,
    "linear": 0,
    "vgg16": 13,
    "resnet20": 21,
    "resnet110": 111,
}
OTHER_FORMS = [  # of a YAML
    ("ghost_resnet56", ["inner_norm=true", "ratio=3"], 2 * 57),
    ("ghost_resnet56", ["ratio=1"], 57),
    ("ghost_vgg16", ["ratio=3"], 13),
]
CONF_MODELS = sorted({path.stem for path in (ROOT / "conf" / "model").glob("*.yaml")})
BY_NUMBER_ONLY = re.compile(r".*_(\d{3}|m|l)")  # the blocks of another YAML, wider or more of them
NARROW = 0.2  # times the YAML's own width


def network(name: str, settings: list[str]) -> nn.Module:
    """The network of a YAML, narrower where it has a multiplier; of a detector the backbone."""
    cfg = compose_config(["dataset=cifar10", f"model={name}", *(f"model.{s}" for s in settings)])
    for node in (cfg.model, cfg.model.get("backbone", {})):
        if "width_mult" in node:
            node.width_mult *= NARROW
    if "depth_mult" in cfg.model:
        cfg.model.depth_mult *= NARROW
    if "small_input" in cfg.model:
        cfg.model.small_input = True
    net = build_network(cfg)
    return net.backbone if "min_size" in cfg.model else net


@torch.no_grad()
def randomize(net: nn.Module, *image_shape: int) -> nn.Module:
    """Weights, biases and statistics away from the identity; some scales are 0, some negative.

    The statistics are those of noise, and then something else: by far other ones the maps grow to
    10^18 in 16 bottlenecks, and no rounding is small any more.
    """
    norms = batch_norms(net.eval()).values()
    for norm in norms:
        norm.weight.uniform_(0.5, 1.5)
        norm.weight[::5] *= -1
        norm.weight[2::7] = 0
        norm.bias.normal_(std=0.3)
        norm.momentum = 1.0
        norm.train()  # and nothing else: paths that are left out would give other statistics
    net(torch.randn(4, *image_shape))
    for norm in norms:
        norm.running_mean += 0.1 * norm.running_var.sqrt() * torch.randn_like(norm.running_mean)
        norm.running_var *= torch.empty_like(norm.running_var).uniform_(0.7, 1.4)
    return net.eval()


@torch.no_grad()
def check_equal(net: nn.Module, fused: nn.Module, images: torch.Tensor, share: float) -> None:
    """No further from the network in float64 than a share of the largest output.

    Where rounding takes the network itself further, twice as far.
    """
    exact = levels(deepcopy(net).double()(images.double()))
    own, found = levels(net(images)), levels(fused(images))
    for level, expected in exact.items():
        assert expected.std() > 0
        largest = expected.abs().max()
        errors = [float((maps[level] - expected).abs().max() / largest) for maps in (own, found)]
        assert errors[1] <= max(share, 2 * errors[0])


def levels(outputs: torch.Tensor | dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Outputs by name: a detector's backbone has one for each level."""
    return {"": outputs} if isinstance(outputs, torch.Tensor) else outputs


@pytest.mark.parametrize(
    ("name", "settings", "count"),
    [*((name, [], COUNTS.get(name)) for name in CONF_MODELS), *OTHER_FORMS],
)
def test_every_network_is_equal_without_a_batch_norm(name, settings, count):
    if BY_NUMBER_ONLY.fullmatch(name):
        with torch.device("meta"):
            net = network(name, settings)
        convs = [m for m in net.modules() if isinstance(m, nn.Conv2d) and m.bias is None]
        assert len(batch_norms(net)) >= len(convs) > 15
        assert not batch_norms(fuse(net))
        return
    torch.manual_seed(0)
    side = 64 if "rcnn" in name or "retina" in name else 32
    net = randomize(network(name, settings), 3, side, side)
    before = {key: value.clone() for key, value in net.state_dict().items()}
    if count is None:
        assert batch_norms(net)
    else:
        assert len(batch_norms(net)) == count
    fused = fuse(net)
    assert not batch_norms(fused)
    assert not any(module.training for module in fused.modules())
    after = net.state_dict()
    assert before.keys() == after.keys()
    assert all(torch.equal(before[key], after[key]) for key in before)
    images = torch.randn(2, 3, side, side)
    check_equal(net, fused, images, 1e-5)
    exact = deepcopy(net).double()  # the algebra, whatever rounding makes of it
    check_equal(exact, fuse(exact), images.double(), 1e-9)


@pytest.mark.parametrize("ratio", [1, 2, 3, 4, 6, 7])
@pytest.mark.parametrize("cheap_kernel_size", [1, 5])
@pytest.mark.parametrize("bias", [False, True])
def test_a_bare_ghost_module_at_every_ratio_and_border(ratio, cheap_kernel_size, bias):
    conv = nn.Conv2d(5, 7, 3, stride=2, padding=1)
    ghost = GhostModule.from_conv(conv, ratio=ratio, cheap_kernel_size=cheap_kernel_size, bias=bias)
    net = randomize(nn.Sequential(ghost, nn.BatchNorm2d(7)), 5, 6, 6).double()
    fused = fuse(net)
    assert isinstance(fused[0], GhostModule if ratio == 1 else FoldedGhost)
    images = torch.randn(2, 5, 6, 6, dtype=torch.float64)  # 3x3 maps: mostly border
    check_equal(net, fused, images, 1e-14)


def test_a_training_network_gives_one_for_inference_and_keeps_training():
    net = ghost_resnet56().train()
    assert not fuse(net).training
    assert all(module.training for module in net.modules())


def test_fast_and_frozen_batch_norms_fold():
    net = nn.Sequential(
        nn.Conv2d(3, 4, 3, bias=False), FastBatchNorm2d(4), nn.Conv2d(4, 4, 1), FrozenBatchNorm2d(4)
    )
    with torch.no_grad():
        for norm in (net[1], net[3]):
            norm.running_mean.normal_()
            norm.running_var.uniform_(0.5, 2)
            norm.weight.uniform_(-1, 1)
    check_equal(net.eval(), fuse(net), torch.randn(2, 3, 8, 8), 1e-6)


def test_a_detector_folds_though_its_forward_cannot_be_traced():
    torch.manual_seed(0)
    net = fasterrcnn_mobilenet_v3_large_320_fpn(weights=None, weights_backbone=None, num_classes=3)
    randomize(net.backbone, 3, 64, 64)
    assert len(batch_norms(net)) == 46
    fused = fuse(net)
    assert not batch_norms(fused)
    check_equal(net.backbone, fused.backbone, torch.ones(1, 3, 64, 64), 1e-5)


def test_a_network_in_training_with_own_kernels_folds():
    net = randomize(ghost_resnet56(), 3, 8, 8)
    fast = use_fast_norm(deepcopy(net))
    for module in fast.modules():  # as use_fast_ghosts, without compiling
        if type(module) is GhostModule:
            module.__class__ = FastGhostModule
    check_equal(net, fuse(fast), torch.randn(2, 3, 8, 8), 1e-5)


@pytest.mark.parametrize("name", ["efficientnet_b0", "ghostnet_100"])
def test_timm_networks_with_an_activation_inside_the_norm(name):
    timm = pytest.importorskip("timm", reason="timm is an extra")
    torch.manual_seed(0)
    net = randomize(timm.create_model(name, num_classes=10), 3, 64, 64)
    fused = fuse(net)
    assert not batch_norms(fused)
    check_equal(net, fused, torch.randn(2, 3, 64, 64), 1e-5)


class Shared(nn.Module):
    """One convolution in front of two batch norms."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 1)
        self.first, self.second = nn.BatchNorm2d(4), nn.BatchNorm2d(4)

    def forward(self, images):
        return self.first(self.conv(images)) + self.second(self.conv(images))


class Tapped(nn.Module):
    """What the convolution gives is an output as well."""

    def __init__(self):
        super().__init__()
        self.conv, self.norm = nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4)

    def forward(self, images):
        maps = self.conv(images)
        return maps, self.norm(maps)


class Branching(nn.Module):
    """Its forward depends on the values, which no trace can follow."""

    def __init__(self):
        super().__init__()
        self.conv, self.norm = nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4)

    def forward(self, images):
        return self.norm(self.conv(images)) if images.sum() > 0 else images


@pytest.mark.parametrize(
    ("net", "sentence"),
    [
        (densenet121(), r"62 of 121 .* features.denseblock1.denselayer1.norm1 first: no layer"),
        (nn.Sequential(nn.ReLU(), nn.BatchNorm2d(3)), "1 first: it follows a ReLU"),
        (Shared(), "first first: conv or the batch norm is used more than once"),
        (Tapped(), "norm first: conv's output is used elsewhere"),
        (Branching(), "norm first: torch.fx cannot follow its Branching"),
        (
            nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4, track_running_stats=False)),
            "1 first: it has no running statistics",
        ),
        (nn.BatchNorm2d(3), "the network first: no module holds it"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, nn.Module) else "",
)
def test_a_batch_norm_that_stays_is_refused_by_name(net, sentence):
    with pytest.raises(ValueError, match=sentence):
        fuse(net)


def test_the_surplus_ghosts_stay_cut():
    net = randomize(
        ghost_vgg16(ratio=10), 3, 32, 32
    )  # 10 does not divide 64: 7 + 63 maps, 6 too many
    fused = fuse(net)
    folded = [module for module in fused.modules() if isinstance(module, FoldedGhost)]
    assert len(folded) == 13
    assert folded[0].cheap_operation.out_channels == 63
    check_equal(net, fused, torch.randn(1, 3, 32, 32), 1e-5)
