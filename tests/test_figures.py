"""Sizes of every network, each an integer, as a composed config builds it.

Rows are overrides of `python train.py`, with params, macs and, where the report on CIFAR-10 prints
it, the figure of the thop package. They are computed independently of this code and agree with the
digits that the papers print as far as those are right.
"""

import pytest
from helpers import long_ones
from omegaconf import OmegaConf
from torch import nn

from ghostexp.analysis.complexity import count_macs, count_params, count_thop, layer_table
from ghostexp.config.build import build_network
from ghostexp.config.cli import compose_config
from ghostexp.layers.rep_ghost import fuse_branches

CIFAR = (3, 32, 32)
IMAGENET = (3, 224, 224)

CIFAR_NETS = {
    # overrides: params, macs
    "resnet20 model.shortcut=A": (269_722, 40_551_040),
    "resnet32 model.shortcut=A": (464_154, 68_862_592),
    "resnet44 model.shortcut=A": (658_586, 97_174_144),
    "resnet56 model.shortcut=A": (853_018, 125_485_696),
    "resnet110 model.shortcut=A": (1_727_962, 252_887_680),
    # shortcut B adds 16 * 32 + 64 and 32 * 64 + 128 parameters and 2 * 131,072 macs to A
    "resnet20": (272_474, 40_813_184),
    "resnet32": (466_906, 69_124_736),
    "resnet44": (661_338, 97_436_288),
    "resnet56": (855_770, 125_747_840),
    "resnet110": (1_730_714, 253_149_824),
    "ghost_resnet56": (439_914, 65_325_696),
    "ghost_resnet56 model.cheap_kernel_size=1": (431_402, 63_146_624),
    "ghost_resnet56 model.cheap_kernel_size=5": (456_938, 69_683_840),
    "ghost_resnet56 model.cheap_kernel_size=7": (482_474, 76_221_056),
    # as many parameters as TingsongYu-ghost-resnet-56.pth holds
    "ghost_resnet56 model.shortcut=A model.inner_norm=true model.inner_activation=true"
    " model.outer_norm=true": (442_074, 65_139_328),
    "g_ghost_resnet56 model.ratio=1": (855_770, 125_747_840),
    "vgg16": (14_990_922, 313_463_808),
    "ghost_vgg16 model.ratio=1": (14_990_922, 313_463_808),
    "ghost_vgg16": (7_650_474, 158_109_696),
    "ghost_vgg16 model.inner_norm=true": (7_650_474, 158_109_696),  # 2 divides every width
    "ghost_vgg16 model.ratio=3": (5_218_440, 107_240_040),
    "ghost_vgg16 model.ratio=4": (3_982_362, 80_432_640),
    "ghost_vgg16 model.ratio=5": (3_269_625, 65_665_296),
    "ghost_vgg16 model.ratio=10": (1_805_397, 34_742_448),
    "ghost_vgg16 model.cheap_kernel_size=1": (7_633_578, 157_003_776),
    "ghost_vgg16 model.cheap_kernel_size=5": (7_684_266, 160_321_536),
    "ghost_vgg16 model.cheap_kernel_size=7": (7_734_954, 163_639_296),
}
THOP = {
    "resnet56": 127_926_912,
    "resnet56 model.shortcut=A": 127_615_616,
    "ghost_resnet56": 67_504_768,
    "vgg16": 314_569_728,
    "ghost_vgg16": 159_215_616,
}
RATIOS = {  # of ghost_resnet56, d = 3
    # ratio: params bare, params with the norm inside, macs
    1: (855_770, 855_770, 125_747_840),
    2: (439_914, 439_914, 65_325_696),
    3: (312_038, 312_228, 48_113_024),
    4: (231_986, 231_986, 35_114_624),
    5: (198_646, 198_950, 32_798_080),
    6: (171_431, 171_735, 27_472_832),
    7: (157_631, 158_163, 26_111_360),
    8: (128_022, 128_022, 20_009_088),
    9: (130_416, 130_948, 20_621_952),
    10: (121_159, 121_843, 20_489_152),
}
IMAGENET_NETS = {
    # overrides: params, macs
    "ghostnet_050": (2_587_292, 42_328_152),
    "ghostnet": (5_182_508, 141_150_512),
    "ghostnet model.width_mult=1.1": (5_855_650, 166_986_864),
    "ghostnet_130": (7_358_820, 227_003_256),
    "ghostnet_v2": (6_156_908, 167_048_288),
    "ghostnet_v2_130": (8_960_404, 269_322_976),
    "ghostnet_v2_160": (12_392_698, 398_607_224),
    "ghostnet_v3": (8_129_028, 404_128_320),
    "g_ghost_regnet_x model.size=0.2": (1_825_440, 130_922_824),
    "g_ghost_regnet_x model.size=0.4": (2_884_456, 221_245_824),
    "g_ghost_regnet_x model.size=0.6": (4_029_776, 389_787_912),
    "g_ghost_regnet_x model.size=0.8": (5_248_328, 528_571_968),
    "g_ghost_regnet_x model.size=1.6": (7_109_660, 1_021_379_556),
    "g_ghost_regnet_x": (10_511_000, 1_801_746_240),
    "g_ghost_regnet_x_040": (15_726_268, 2_228_368_516),
    "g_ghost_regnet_x_080": (24_586_928, 4_149_668_216),
    "g_ghost_regnet_x_160": (32_381_704, 8_997_384_192),
    "ghost_resnet50 model.ratio=1": (25_557_032, 4_089_184_256),
    "ghost_resnet50": (13_953_512, 2_151_023_360),
    "ghost_resnet50 model.ratio=4": (8_151_752, 1_181_942_912),
}
DEPLOYED = {  # independent at width 1 only; elsewhere the deployed macs, version 2's, are
    # model: params in training form, params deployed, version 2 of that width
    "ghostnet_v3_050": (3_395_384, 2_853_176, "ghostnet_v2 model.width_mult=0.5"),
    "ghostnet_v3": (8_129_028, 6_147_588, "ghostnet_v2"),
    "ghostnet_v3_130": (12_217_720, 8_948_296, "ghostnet_v2_130"),
    "ghostnet_v3_160": (17_275_700, 12_377_778, "ghostnet_v2_160"),
}
REPGHOSTNETS = {
    # model: params in training form, params deployed, macs of both
    "repghostnet_050": (2_313_968, 2_306_528, 43_314_720),
    "repghostnet_058": (2_546_388, 2_537_736, 59_804_016),
    "repghostnet_080": (3_278_968, 3_267_112, 95_518_948),
    "repghostnet": (4_073_604, 4_058_772, 142_394_128),
    "repghostnet_111": (4_539_984, 4_523_568, 170_124_224),
    "repghostnet_130": (5_478_612, 5_459_316, 231_123_652),
    "repghostnet_150": (6_575_336, 6_553_064, 301_315_856),
    "repghostnet_200": (9_796_124, 9_766_460, 515_869_856),
}


def network(model: str, dataset: str = "imagenet") -> nn.Module:
    cfg = compose_config([f"dataset={dataset}", *f"model={model}".split()])
    OmegaConf.update(cfg, "run_dir", "run")
    return build_network(cfg)


@pytest.mark.parametrize("model", CIFAR_NETS)
def test_cifar_networks(model):
    net = network(model, "cifar10")
    assert (count_params(net), count_macs(net, CIFAR)) == CIFAR_NETS[model]
    if model in THOP:
        assert count_thop(net, CIFAR) == THOP[model]


@pytest.mark.parametrize("ratio", RATIOS)
@pytest.mark.parametrize("inner_norm", ["false", "true"])
def test_ratio_ablation(ratio, inner_norm):
    net = network(f"ghost_resnet56 model.ratio={ratio} model.inner_norm={inner_norm}", "cifar10")
    bare, inside, macs = RATIOS[ratio]
    assert count_params(net) == (inside if inner_norm == "true" else bare)
    assert count_macs(net, CIFAR) == macs


@pytest.mark.parametrize("model", IMAGENET_NETS)
def test_imagenet_networks(model):
    net = network(model)
    assert (count_params(net), count_macs(net, IMAGENET)) == IMAGENET_NETS[model]


@pytest.mark.parametrize("model", long_ones(DEPLOYED, long=[*DEPLOYED][2:]))
def test_deployed_form_has_version_2s_macs(model):
    training, deployed, version_2 = DEPLOYED[model]
    net = network(model)
    assert count_params(net) == training
    fused = fuse_branches(net)
    assert count_params(fused) == deployed
    assert count_macs(fused, IMAGENET) == count_macs(network(version_2), IMAGENET)


@pytest.mark.parametrize("model", REPGHOSTNETS)
def test_repghostnets_in_both_forms(model):
    training, deployed, macs = REPGHOSTNETS[model]
    net = network(model)
    assert (count_params(net), count_macs(net, IMAGENET)) == (training, macs)
    fused = fuse_branches(net)
    assert (count_params(fused), count_macs(fused, IMAGENET)) == (deployed, macs)


def test_papers_detection_backbone():
    net = network("ghostnet model.width_mult=1.1")
    backbone = nn.Sequential(net.stem, net.blocks, net.last_conv)
    assert count_macs(backbone, IMAGENET) == 164_355_184


TAPS = (28, 44, 124, 176)  # maps of C2 to C5 at width 1.1: multiples of 4
LABELS = 80 + 1  # of COCO, and the background


def costs_of_parts(net: nn.Module, shape: tuple[int, int, int]) -> dict[str, tuple[int, int]]:
    """(params, macs) of a detector's parts."""
    rows = layer_table(net.eval(), shape)
    parts = ("backbone.body", "backbone.fpn", "rpn", "roi_heads", "head")
    chosen = {part: [row for row in rows if row.name.startswith(f"{part}.")] for part in parts}
    return {
        part: (sum(row.params for row in rows), sum(row.macs for row in rows))
        for part, rows in chosen.items()
        if rows
    }


def detector(model: str) -> nn.Module:
    sizes = ["model.min_size=64", "model.max_size=64"]
    cfg = compose_config(["dataset=coco", f"model={model}", *sizes])
    OmegaConf.update(cfg, "run_dir", "run")
    return build_network(cfg)


def test_faster_rcnn_by_part():
    """Backbone, neck and heads in closed form; the paper's 164M holds a convolution more."""
    net = detector("faster_rcnn_ghostnet")
    costs = costs_of_parts(net, (3, 64, 64))
    positions = [16**2, 8**2, 4**2, 2**2]
    squares = 256 * 256 * 9
    proposals = costs.pop("roi_heads")
    neck_params = sum((tap + 1) * 256 + squares + 256 for tap in TAPS)
    neck_macs = sum(n * (tap * 256 + squares) for tap, n in zip(TAPS, positions, strict=True))
    per_position = squares + 256 * 3 * (1 + 4)
    assert costs == {
        "backbone.body": (3_033_722, count_macs(net.backbone.body, (3, 64, 64))),
        "backbone.fpn": (neck_params, neck_macs),
        "rpn": (per_position + 256 + 3 * 5, per_position * (sum(positions) + 1)),  # P6 is 1x1
    }
    per_proposal = 256 * 49 * 1024 + 1024 * 1024 + 1024 * 5 * LABELS
    biases = 1024 + 1024 + 5 * LABELS
    assert proposals == (per_proposal + biases, 1000 * per_proposal)
    last_conv = 7 * 7 * 176 * 1056
    assert count_macs(net.backbone.body, IMAGENET) == 164_355_184 - last_conv


def test_retinanet_by_part():
    costs = costs_of_parts(detector("retinanet_ghostnet"), (3, 64, 64))
    squares = 256 * 256 * 9
    taps, positions = TAPS[1:], [8**2, 4**2, 2**2]
    assert costs["backbone.fpn"] == (
        sum((tap + 1) * 256 + squares + 256 for tap in taps)
        + (176 * 256 * 9 + 256)  # P6
        + (squares + 256),  # P7
        sum(n * (tap * 256 + squares) for tap, n in zip(taps, positions, strict=True))
        + (176 * 256 * 9)
        + squares,
    )
    per_position = 2 * 4 * squares + 256 * 9 * 9 * (LABELS + 4)
    biases = 2 * 4 * 256 + 9 * (LABELS + 4)
    assert costs["head"] == (per_position + biases, per_position * (sum(positions) + 1 + 1))
    assert costs["backbone.body"][0] == 3_033_722
