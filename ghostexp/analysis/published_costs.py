"""Printed sizes of the networks, to compare a count with; and why some cannot be met.

GhostNet: "GhostNet: More Features from Cheap Operations", CVPR 2020, https://arxiv.org/abs/1911.11907
GhostNetV2: NeurIPS 2022, https://arxiv.org/abs/2211.12905
GhostNetV3: 2024, https://arxiv.org/abs/2404.11202
G-Ghost: IJCV 2022, https://arxiv.org/abs/2201.03297
RepGhostNet: 2022, https://arxiv.org/abs/2211.06088; macs as the names of its authors' files say
The papers' "FLOPs" are macs. The report is the unpublished text on these networks whose claims this
project checks; its figures come from the thop package.
"""

from dataclasses import dataclass
from math import floor
from typing import Any

UNITS = {"K": 1e3, "M": 1e6, "B": 1e9}
CIFAR = (32, 10)
IMAGENET = (224, 1000)


@dataclass(frozen=True)
class PublishedCost:
    """Printed params and macs (or thop figure) of what `factory` builds with `settings`."""

    factory: str
    settings: dict[str, Any]
    image_size: int
    num_classes: int | None  # None: without classifier, as a detector's backbone
    params: str | None  # None: not printed
    compute: str
    convention: str  # of `compute`: macs or thop
    source: str
    remark: str = ""


def _paper(
    factory: str,
    settings: dict[str, Any],
    facts: tuple[int, int],
    params: str,
    macs: str,
    source: str,
    remark: str = "",
) -> PublishedCost:
    return PublishedCost(factory, settings, *facts, params, macs, "macs", source, remark)


def _repghost(width_mult: float, macs: str) -> PublishedCost:
    settings = {"width_mult": width_mult}
    return PublishedCost("repghostnet", settings, *IMAGENET, None, macs, "macs", "RepGhost authors")


def _report(
    factory: str, settings: dict[str, Any], params: str, thop: str, remark: str = ""
) -> PublishedCost:
    return PublishedCost(factory, settings, *CIFAR, params, thop, "thop", "report", remark)


GHOST = {"ratio": 2, "cheap_kernel_size": 3}
V1, V2, V3 = "GhostNet paper", "GhostNetV2 paper", "GhostNetV3 paper"
G = "G-Ghost paper"
D1_ARITHMETIC = (
    "0.43M and 63M are the counts of d = 1 (431,402 and 63,146,624); with d = 3, which the paper"
    " states, nothing gives 63M"
)
RESNET50_PARAMS = (
    "the paper's params cannot be reached: the convolutions' weights divided by s and the"
    " classifier's 2.0M exceed them already; its macs are met"
)
SHORTCUT_A = (
    "the paper's figures are for shortcuts without parameters, model.shortcut=A: 853,018"
    " params and 125,485,696 macs"
)
CUT_OFF = "the paper cuts the digits of its params off where we round them; its macs are met"
ROUNDING = (
    "the paper cuts the digits of its params off where we round them; 226M is not reached by the"
    " paper's own block table, nor by timm's network: 227.0M"
)
DEPLOYED = (
    "printed for the deployed form: fuse_branches gives 6,147,588 params and 167,048,288 macs;"
    " this is the form that trains"
)
EIGHT = (
    "the paper's params are met; its macs are not: its definition has 4,149,668,216, which round to"
    " 4.1B"
)
PAPER_BACKBONE = (
    "the paper counts the 1x1 convolution to 1056 maps too, 9,106,944 macs, with which it is"
    " 164,355,184 (exact); no pyramid level reads its maps, so it would get no gradient"
)
REPORT_BACKBONE = (
    "the report's backbone is another network: no SE, cheap kernels as large as the block's, no"
    " depthwise convolution in shortcuts of stride 1; built that way it has 1,055,832 params and a"
    " thop figure of 149,310,448 (exact); wired as it was, 64 % of it got no gradient"
)

PUBLISHED_COSTS = (
    # factory, settings, (image size, classes), params, macs, source, remark
    _paper("resnet56", {"shortcut": "A"}, CIFAR, "0.85M", "125M", V1),
    _paper("resnet56", {"shortcut": "B"}, CIFAR, "0.85M", "125M", V1, SHORTCUT_A),
    _paper("ghost_resnet56", GHOST, CIFAR, "0.43M", "63M", V1, D1_ARITHMETIC),
    _paper("vgg16", {}, CIFAR, "15M", "313M", V1),
    _paper("ghost_vgg16", GHOST, CIFAR, "7.7M", "158M", V1),
    _paper("ghost_resnet50", {"ratio": 2}, IMAGENET, "13.0M", "2.2B", V1, RESNET50_PARAMS),
    _paper("ghost_resnet50", {"ratio": 4}, IMAGENET, "6.5M", "1.2B", V1, RESNET50_PARAMS),
    _paper("ghostnet", {"width_mult": 0.5}, IMAGENET, "2.6M", "42M", V1),
    _paper("ghostnet", {"width_mult": 1.0}, IMAGENET, "5.2M", "141M", V1),
    _paper("ghostnet", {"width_mult": 1.3}, IMAGENET, "7.3M", "226M", V1, ROUNDING),
    _paper("ghostnet_v2", {"width_mult": 1.0}, IMAGENET, "6.1M", "167M", V2, CUT_OFF),
    _paper("ghostnet_v2", {"width_mult": 1.3}, IMAGENET, "8.9M", "269M", V2, CUT_OFF),
    _paper("ghostnet_v2", {"width_mult": 1.6}, IMAGENET, "12.3M", "399M", V2, CUT_OFF),
    _paper("ghostnet_v3", {"width_mult": 1.0}, IMAGENET, "6.1M", "167M", V3, DEPLOYED),
    _repghost(0.5, "43M"),
    _repghost(0.58, "60M"),
    _repghost(0.8, "96M"),
    _repghost(1.0, "142M"),
    _repghost(1.11, "170M"),
    _repghost(1.3, "231M"),
    _repghost(1.5, "301M"),
    _repghost(2.0, "516M"),
    _paper("g_ghost_regnet_x", {"size": 3.2}, IMAGENET, "10.5M", "1.8B", G),
    _paper("g_ghost_regnet_x", {"size": 4.0}, IMAGENET, "15.7M", "2.2B", G),
    _paper("g_ghost_regnet_x", {"size": 8.0}, IMAGENET, "24.6M", "4.2B", G, EIGHT),
    _paper("g_ghost_regnet_x", {"size": 16.0}, IMAGENET, "32.4M", "9.0B", G),
    PublishedCost(
        *("ghostnet", {"width_mult": 1.1}, 224, None),
        *(None, "164M", "macs", V1, PAPER_BACKBONE),
    ),
    PublishedCost(
        *("ghostnet", {"width_mult": 1.0}, 224, None),
        *("1.06M", "149.31M", "thop", "report", REPORT_BACKBONE),
    ),
    # factory, settings, params, thop figure
    _report("resnet56", {"shortcut": "B"}, "0.86M", "127.93M"),
    _report("ghost_resnet56", GHOST | {"shortcut": "B"}, "0.44M", "67.50M"),
    _report("vgg16", {}, "14.991M", "314.570M"),
    _report("ghost_vgg16", GHOST, "7.650M", "159.216M"),
)


def find_published_costs(
    factory: str, settings: dict[str, Any], input_shape: tuple[int, int, int]
) -> list[PublishedCost]:
    """The printed figures of one network.

    `factory` is the last part of its `_target_`, `settings` are the arguments in its config, and
    `input_shape` is (C, H, W).
    """
    return [
        published
        for published in PUBLISHED_COSTS
        if published.factory == factory
        and input_shape[1:] == (published.image_size, published.image_size)
        and published.num_classes == settings.get("num_classes")
        and all(settings.get(key) == value for key, value in published.settings.items())
    ]


def printed_value(printed: str) -> tuple[float, float]:
    """Value of a printed figure, and the value of 1 in its last digit: "2.2B" -> (2.2e9, 1e8)."""
    digits, unit = printed[:-1], UNITS[printed[-1]]
    decimals = len(digits.partition(".")[2])
    return float(digits) * unit, unit / 10**decimals


def agrees(printed: str, count: int) -> bool:
    """Whether `count`, rounded to as many digits as are printed, gives the printed digits."""
    value, last_digit = printed_value(printed)
    return round(value / last_digit) == floor(count / last_digit + 0.5)
