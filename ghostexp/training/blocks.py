"""The blocks of any network, from its images to its head: what is frozen, or learns, as one."""

from torch import nn
from torch.nn.modules.batchnorm import _NormBase

CONTAINERS = ("features", "blocks", "stages")  # names of a Sequential in torchvision, here, in timm
NORMS = (_NormBase, nn.GroupNorm, nn.LayerNorm)  # _NormBase: batch and instance norms


def blocks(net: nn.Module) -> list[nn.Module]:
    """Blocks of `net` from input to output; the last is its head.

    They are what the network's own method `stages` returns, if it has one. Else they are its
    children that own parameters, in the order of their registration; an nn.Sequential called
    features, blocks or stages counts as its own children, and a norm goes with the layer before
    it. ValueError where that does not hold every parameter of the network.
    """
    stages = getattr(net, "stages", None)
    own = callable(stages) and not isinstance(stages, nn.Module)
    found = stages() if own else _group(_children(net))
    inside = {id(parameter) for block in found for parameter in block.parameters()}
    outside = [name for name, parameter in net.named_parameters() if id(parameter) not in inside]
    if outside or not found:
        names = ", ".join(outside[:3]) or "it has no parameters"
        raise ValueError(
            f"{type(net).__name__} has parameters outside of its blocks ({names}): give it a"
            " method stages() that returns its blocks from input to output, the head last"
        )
    return found


def _children(net: nn.Module) -> list[nn.Module]:
    children = []
    for name, child in net.named_children():
        if name in CONTAINERS and isinstance(child, nn.Sequential):
            children += child.children()
        else:
            children.append(child)
    return [child for child in children if any(True for _ in child.parameters())]


def _group(layers: list[nn.Module]) -> list[nn.Module]:
    groups: list[nn.ModuleList] = []
    for layer in layers:
        if groups and isinstance(layer, NORMS):
            groups[-1].append(layer)
        else:
            groups.append(nn.ModuleList([layer]))
    return groups
