"""timm's own way to deploy: its blocks add up their branches, or fold their norms."""

import logging

from torch import nn

from ghostexp.layers.channel_order import ChannelOrder
from ghostexp.layers.copied import copied
from ghostexp.layers.ghost import GhostModule

log = logging.getLogger(__name__)

METHODS = ("fuse", "reparameterize", "switch_to_deploy")  # in the order that timm 1.0.31 asks for


def reparameterize(net: nn.Module) -> None:
    """Let timm's blocks below `net` take their deployed form, in place.

    `timm.utils.reparameterize_model` does the same for a whole network. Here a block that cannot
    take its deployed form stays as it is. So does a block that holds a Ghost module, which timm
    does not know, or a module with hooks, which would be lost.
    """
    for name, child in list(net.named_children()):
        deployed = _deployed(child) if _is_timms(child) else None
        if deployed is not None:
            setattr(net, name, deployed)
        else:
            reparameterize(child)


def _is_timms(module: nn.Module) -> bool:
    return type(module).__module__.startswith("timm.") and any(hasattr(module, m) for m in METHODS)


def _deployed(block: nn.Module) -> nn.Module | None:
    """A copy of `block` in its deployed form; None where it has to stay."""
    for module in block.modules():
        if isinstance(module, GhostModule | ChannelOrder) or has_hooks(module):
            return None
    copy = copied(block)
    method = next(name for name in METHODS if hasattr(copy, name))
    try:
        result = getattr(copy, method)()
    except Exception as error:  # whatever timm's code meets in a block that a user has changed
        log.warning("%s stays: its %s fails with %s", type(block).__name__, method, error)
        return None
    deployed = result if method == "fuse" else copy
    reparameterize(deployed)
    return deployed


def has_hooks(module: nn.Module) -> bool:
    """Whether something listens to the calls of `module`."""
    return any(
        (
            module._forward_hooks,
            module._forward_pre_hooks,
            module._backward_hooks,
            module._backward_pre_hooks,
        )
    )
