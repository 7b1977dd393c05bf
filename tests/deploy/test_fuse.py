"""Fused against unfused: every network of conf/model, its statistics far from the identity."""

import logging
import re
from copy import deepcopy

import pytest
import torch
from helpers import ROOT, long_ones
from torch import nn
from torch.nn.utils import weight_norm as old_weight_norm
from torch.nn.utils.parametrizations import weight_norm
from torchvision.models import densenet121
from torchvision.models.detection import fasterrcnn_mobilenet_v3_large_320_fpn
from torchvision.ops import FrozenBatchNorm2d

from ghostexp.config.build import build_network
from ghostexp.config.cli import compose_config
from ghostexp.deploy.fuse import batch_norms, fuse, fuse_and_report
from ghostexp.layers import GhostModule
from ghostexp.layers.copied import copied
from ghostexp.layers.fast_ghost import FastGhostModule
from ghostexp.layers.fast_norm import FastBatchNorm2d, use_fast_norm
from ghostexp.layers.folded_ghost import FoldedGhost
from ghostexp.models import convert_to_ghost, ghost_resnet56, ghost_vgg16

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
BY_NUMBER = "ghostnet_130"  # of those, the one that the short tests look at
TIMMS = ("mobileone_s0", "levit_128s", "repghostnet_050", "repvgg_a0")
DEEPER = re.compile(
    r"resnet(32|44|110)|(faster_rcnn|retinanet).*_small|g_ghost_resnet56|ghostnet_v2_.*"
)  # than another one here
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

    Where rounding takes the network itself further, ten times as far: it depends on the number of
    threads.
    """
    exact = levels(copied(net).double()(images.double()))
    own, found = levels(net(images)), levels(fused(images))
    for level, expected in exact.items():
        assert expected.std() > 0
        largest = expected.abs().max()
        errors = [float((maps[level] - expected).abs().max() / largest) for maps in (own, found)]
        assert errors[1] <= max(share, 10 * errors[0])


def levels(outputs: torch.Tensor | dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Outputs by name: a detector's backbone has one for each level."""
    return {"": outputs} if isinstance(outputs, torch.Tensor) else outputs


def has_a_like(name: str) -> bool:
    """Whether a shorter test of another network looks at the same blocks."""
    return bool(DEEPER.fullmatch(name) or BY_NUMBER_ONLY.fullmatch(name)) and name != BY_NUMBER


@pytest.mark.parametrize(
    ("name", "settings", "count"),
    [
        *(
            pytest.param(
                *(name, [], COUNTS.get(name)),
                marks=[pytest.mark.slow] if has_a_like(name) else [],
            )
            for name in CONF_MODELS
        ),
        *OTHER_FORMS,
    ],
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
    ("net", "name", "sentence", "left"),
    [
        (densenet121(), "features.denseblock1.denselayer1.norm1", "no layer makes its input", 62),
        (nn.Sequential(nn.ReLU(), nn.BatchNorm2d(3)), "1", "it follows a ReLU", 1),
        (Shared(), "first", "conv or the batch norm is used more than once", 2),
        (Tapped(), "norm", "conv's output is used elsewhere", 1),
        (Branching(), "norm", "torch.fx cannot follow its Branching", 1),
        (
            nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4, track_running_stats=False)),
            "1",
            "it has no running statistics",
            1,
        ),
        (nn.BatchNorm2d(3), "", "no module holds it", 1),
        (
            nn.Sequential(nn.Linear(3, 5), nn.BatchNorm1d(4)),  # [N, 4, 3] -> [N, 4, 5]
            "1",
            "it normalises 4 channels, not those of 0",
            1,
        ),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, nn.Module) else "",
)
def test_a_batch_norm_that_stays_is_named_with_its_reason(net, name, sentence, left, caplog):
    with caplog.at_level(logging.WARNING):
        fused = fuse_and_report(net)
    assert len(fused.left) == len(batch_norms(fused.net)) == left
    assert sentence in fused.left[name]
    assert sentence in caplog.text
    assert f"{left} of " in caplog.text


def test_what_folds_is_folded_beside_what_stays():
    net = randomize(densenet121(), 3, 64, 64)
    fused = fuse(net)
    assert len(batch_norms(fused)) == 62
    check_equal(net, fused, torch.randn(1, 3, 64, 64), 1e-5)


@pytest.mark.parametrize("groups", [1, 2])
@pytest.mark.parametrize(
    "layer",
    [
        lambda groups: nn.ConvTranspose2d(4, 6, 3, stride=2, groups=groups),
        lambda groups: nn.Conv2d(4, 6, 3, groups=groups),
    ],
    ids=["transposed", "plain"],
)
def test_transposed_and_grouped_convolutions(layer, groups):
    net = randomize(nn.Sequential(layer(groups), nn.BatchNorm2d(6)), 4, 8, 8)
    fused = fuse(net)
    assert not batch_norms(fused)
    check_equal(net, fused, torch.randn(2, 4, 8, 8), 1e-6)


def test_what_passes_maps_on_in_eval_mode_is_looked_through():
    layers = [nn.Conv2d(3, 4, 3), nn.Identity(), nn.Dropout(0.5), nn.BatchNorm2d(4), nn.ReLU()]
    net = randomize(nn.Sequential(*layers), 3, 8, 8)
    fused = fuse(net)
    assert not batch_norms(fused)
    check_equal(net, fused, torch.randn(2, 3, 8, 8), 1e-6)


def test_a_linear_layer_takes_its_batch_norm_in():
    net = randomize(
        nn.Sequential(nn.Flatten(), nn.Linear(12, 5, bias=False), nn.BatchNorm1d(5)), 3, 2, 2
    )
    fused = fuse(net)
    assert not batch_norms(fused)
    check_equal(net, fused, torch.randn(4, 3, 2, 2), 1e-6)


class Lists(nn.Module):
    """Convolutions in one list and their norms in another, as RetinaNet's heads of old."""

    def __init__(self):
        super().__init__()
        self.convs = nn.ModuleList(nn.Conv2d(3, 3, 3, padding=1) for _ in range(3))
        self.norms = nn.ModuleDict({f"{i}": nn.BatchNorm2d(3) for i in range(3)})

    def forward(self, images):
        for conv, norm in zip(self.convs, self.norms.values(), strict=True):
            images = norm(conv(images)).relu()
        return images


def test_norms_in_lists_fold():
    net = randomize(Lists(), 3, 8, 8)
    assert not batch_norms(fuse(net))
    check_equal(net, fuse(net), torch.randn(2, 3, 8, 8), 1e-6)


class Apart(nn.Module):
    """The convolution is a child of a child, and the norm is of the parent."""

    def __init__(self):
        super().__init__()
        self.part, self.norm = nn.Sequential(nn.ReLU(), nn.Conv2d(3, 4, 3)), nn.BatchNorm2d(4)

    def forward(self, images):
        return self.norm(self.part(images))


def test_layer_and_norm_of_different_modules_fold():
    net = randomize(Apart(), 3, 8, 8)
    assert not batch_norms(fuse(net))
    check_equal(net, fuse(net), torch.randn(2, 3, 8, 8), 1e-6)


class ReadsWeight(Apart):
    def forward(self, images):
        return super().forward(images) * self.part[1].weight.mean()


def test_a_layer_whose_weight_is_read_elsewhere_stays():
    net = randomize(ReadsWeight(), 3, 8, 8)
    fused = fuse_and_report(net)
    assert fused.left == {"norm": "the network reads the weight of part.1 itself"}
    check_equal(net, fused.net, torch.randn(2, 3, 8, 8), 1e-6)


@pytest.mark.parametrize("which", [0, 1])
def test_modules_with_hooks_stay_and_keep_them(which):
    net = randomize(nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU()), 3, 8, 8)
    calls = []
    net[which].register_forward_hook(lambda *_: calls.append(which))
    fused = fuse_and_report(net)
    assert "carries hooks" in fused.left["1"]
    assert calls == []  # a trace calls none
    fused.net(torch.randn(1, 3, 8, 8))
    assert calls == [which]


def with_a_hook(conv: nn.Conv2d) -> nn.Module:
    with pytest.warns(FutureWarning, match="deprecated"):  # and yet it is in many networks
        return old_weight_norm(conv)


@pytest.mark.parametrize("normed", [with_a_hook, weight_norm], ids=["hook", "parametrization"])
def test_a_weight_that_is_computed_gives_the_promised_sentence(normed):
    net = randomize(nn.Sequential(normed(nn.Conv2d(3, 4, 3)), nn.BatchNorm2d(4)), 3, 8, 8)
    net(torch.randn(1, 3, 8, 8))  # the hook leaves a tensor that has a history
    fused = fuse_and_report(net)
    assert fused.left == {"1": "the weight of 0 is computed by a parametrization or a hook"}
    check_equal(net, fused.net, torch.randn(2, 3, 8, 8), 1e-6)


@pytest.mark.parametrize("ratio", [2, 3])
def test_ghost_modules_with_trained_filters_fold_behind_their_order(ratio):
    net = nn.Sequential(nn.Conv2d(3, 7, 3, bias=False), nn.BatchNorm2d(7))
    net = randomize(convert_to_ghost(net, ratio, only=["*"], init="filters"), 3, 8, 8).double()
    fused = fuse(net)
    assert not batch_norms(fused)
    assert isinstance(fused[0][0], FoldedGhost)
    check_equal(net, fused, torch.randn(2, 3, 8, 8, dtype=torch.float64), 1e-14)


@pytest.mark.parametrize("name", long_ones(TIMMS, long=["mobileone_s0"]))
@pytest.mark.parametrize("converted", [False, True])
def test_timms_blocks_take_their_deployed_form_unless_they_hold_ghost_modules(name, converted):
    timm = pytest.importorskip("timm", reason="timm is an extra")
    torch.manual_seed(0)
    net = timm.create_model(name, num_classes=10)
    if converted:
        convert_to_ghost(net)
    net = randomize(net, 3, 224, 224)
    fused = fuse_and_report(net)
    if not converted:
        assert fused.left == {}
    images = torch.randn(1, 3, 224, 224)
    check_equal(net, fused.net, images, 1e-4)


def test_the_surplus_ghosts_stay_cut():
    net = randomize(
        ghost_vgg16(ratio=10), 3, 32, 32
    )  # 10 does not divide 64: 7 + 63 maps, 6 too many
    fused = fuse(net)
    folded = [module for module in fused.modules() if isinstance(module, FoldedGhost)]
    assert len(folded) == 13
    assert folded[0].cheap_operation.out_channels == 63
    check_equal(net, fused, torch.randn(1, 3, 32, 32), 1e-5)
