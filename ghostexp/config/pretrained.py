"""Weights that a network starts from, and how a config is made to load none."""

import inspect
import re
from collections.abc import Callable
from typing import Any

from omegaconf import DictConfig, OmegaConf
from torchvision.models import get_model, get_model_builder, get_model_weights

from ghostexp.config.targets import find_callable, targets
from ghostexp.config.values import parameters

PRETRAINED = {  # arguments that load or fetch weights, with the value that loads none
    "weights": None,
    "weights_backbone": None,
    "pretrained": False,
    "pretrained_backbone": False,
    "checkpoint_path": "",
}
BACKBONE = "mobilenet_v3_large"  # torchvision's, in a detector of ours
OF_A_HUB = re.compile(r"(hf[-_]hub|local-dir):")  # names of timm's that lead out of the package


def forget_weights(node: DictConfig, path: str) -> list[str]:
    """Let a node load no weights and fetch none; return the settings that were changed for that."""
    known = parameters(_builder(node, path)) or {}
    changed = []
    for key, nothing in PRETRAINED.items():
        default = known[key].default if key in known else nothing
        value = node.get(key, default)
        if value and value is not inspect.Parameter.empty and not OmegaConf.is_config(value):
            node[key] = nothing
            changed.append(f"{path}.{key}={value}")
    return changed


def settings_of_hubs(node: DictConfig, path: str) -> list[str]:
    """The settings of a node that fetch its network from outside of its package."""
    return [
        f"{path}.{key}={value}"
        for key, value in node.items()
        if isinstance(value, str) and OF_A_HUB.match(value)
    ]


def forget_fetched_weights(cfg: DictConfig) -> list[str]:
    """Let the networks of a config load none of the weights that torchvision or timm would fetch.

    Returns the settings that were changed. Files and weights by a name of ours stay, because
    ghostexp/download.py sees to these. Weights that the library refuses before it fetches them
    stay, too.
    """
    changed = []
    for path, node in targets(cfg):
        if _would_fetch(node, path):
            changed += forget_weights(node, path)
    return changed


def _would_fetch(node: DictConfig, path: str) -> bool:
    """Whether the making of a network gets as far as fetching weights, if it has any to fetch."""
    package, _, name = node._target_.partition(".")
    if package == "timm":
        from timm.models import is_model_pretrained  # an extra

        return is_model_pretrained(str(node.get("model_name", name.rpartition(".")[2])))
    if package == "torchvision":
        return not node.get("weights") or _fit(node, path)
    return node.get("weights") in get_model_weights(BACKBONE).__members__


def _fit(node: DictConfig, path: str) -> bool:
    """Whether torchvision has the weights that a node names, for as many classes."""
    try:
        choices = get_model_weights(_builder(node, path))
        known = choices[str(node.weights).rpartition(".")[2]]
    except (ValueError, KeyError):
        return False
    classes = len(known.meta["categories"])
    return node.get("num_classes", classes) == classes


def _builder(node: DictConfig, path: str) -> Callable[..., Any]:
    """What makes the network of a node: torchvision's get_model passes all on to a builder."""
    found = find_callable(node._target_, path)
    return get_model_builder(str(node.get("name")).lower()) if found is get_model else found
