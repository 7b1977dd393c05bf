"""The networks of `any_network`'s table."""

import math
import re
import warnings

import torch
import torchvision

CANDIDATES = 12  # of a family of timm's, whose sizes are compared
MOST_PARAMS = 4e8  # of timm's: a process holds four copies of a network
LARGE = re.compile("large|huge|giant|xxl|_xl|_[257]b_|so[0-9]+m|base|_l[_0-9]|_l$")


def names(per_family: int) -> list[str]:
    """All classifiers and detectors of torchvision, and of each of timm's families the smallest."""
    found = [
        f"torchvision.{name}"
        for package in (torchvision.models, torchvision.models.detection)
        for name in torchvision.models.list_models(package)
    ]
    import timm  # an extra

    for family in timm.list_modules():
        members = timm.list_models(module=family)
        likely = sorted(members, key=lambda name: bool(LARGE.search(name)))[:CANDIDATES]
        sizes = {name: _params_of_timms(name) for name in likely}
        small = sorted(likely, key=lambda name: sizes[name])[:per_family]
        found += [f"timm.{name}" for name in small if sizes[name] < MOST_PARAMS]
    return found


def _params_of_timms(name: str) -> float:
    """Parameters of a network of timm's; infinitely many where it cannot be built for counting."""
    import timm

    with torch.device("meta"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return sum(parameter.numel() for parameter in timm.create_model(name).parameters())
        except Exception:  # it asks for values while it is built; then others of its family serve
            return math.inf
