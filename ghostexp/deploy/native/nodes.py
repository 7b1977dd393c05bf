"""What the reader of an exported program asks of a node of its graph."""

import torch
from torch import fx

from ghostexp.deploy.native.plan import Maps

aten = torch.ops.aten


def check(supported: bool, node: fx.Node, what: str) -> None:
    if not supported:
        stack = [*node.meta.get("nn_module_stack", {}).values()]
        layer = stack[-1][0] if stack else ""
        raise ValueError(f"the native backend has no kernel for {what} (layer {layer or 'root'})")


def arguments(node: fx.Node, *defaults: object) -> tuple:
    """All arguments of an operator, whose trailing ones are left out where they are `defaults`."""
    return (*node.args, *defaults[len(node.args) :])


def is_only_user(node: fx.Node) -> bool:
    """Whether one operator reads the memory of `node`, which views of it share."""
    views = (aten.alias.default, aten.flatten.using_ints, aten.slice.Tensor)
    while len(node.users) == 1:
        if node.target not in views:
            return True
        node = node.args[0]
    return False


def shape(node: fx.Node) -> torch.Size:
    return node.meta["val"].shape


def channels(node: fx.Node) -> int:
    return shape(node)[1]


def outputs(node: fx.Node) -> Maps:
    _, channels, *pixels = shape(node)
    return Maps(channels, *(pixels or (1, 1)))
