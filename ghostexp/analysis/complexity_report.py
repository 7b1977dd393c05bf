"""What a network costs, layer by layer, beside its dense twin and beside the printed figures.

The dense twin is the network that the same factory builds with ratio 1. Both halves of a Ghost
module make one row, which stands beside the convolution of the same name in the twin.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from torch import nn

from ghostexp.analysis.complexity import (
    LayerRow,
    count_params,
    count_trainable_params,
    layer_table,
)
from ghostexp.analysis.memory import activation_bytes, model_bytes
from ghostexp.analysis.published_costs import PublishedCost
from ghostexp.layers.ghost import GhostModule

MIB = 2**20


@dataclass(frozen=True)
class LayerCost:
    """One layer or Ghost module with all of its calls; `out_shape` is without the batch axis."""

    name: str
    type: str
    out_shape: tuple[int, ...]
    params: int
    frozen: int
    macs: int
    cheap_macs: int  # the part of the macs that the cheap operation has
    products: int  # the part of the macs that no layer computes, such as attention
    thop: int


@dataclass(frozen=True)
class NetworkCost:
    """Totals of a network, and the rows of its layers that cost something."""

    params: int
    trainable: int
    frozen: int
    macs: int
    products: int  # the part of the macs that no layer computes, such as attention
    thop: int
    size_mib: float  # of parameters and buffers
    activation_mib: float  # per image, kept for the backward pass
    layers: list[LayerCost]


def describe_network(net: nn.Module, input_shape: Sequence[int]) -> NetworkCost:
    """Cost of `net` for one input of `input_shape`, batch axis excluded."""
    layers = _layer_costs(net, input_shape)
    params, trainable = count_params(net), count_trainable_params(net)
    return NetworkCost(
        params=params,
        trainable=trainable,
        frozen=params - trainable,
        macs=sum(layer.macs for layer in layers),
        products=sum(layer.products for layer in layers),
        thop=sum(layer.thop for layer in layers),
        size_mib=model_bytes(net) / MIB,
        activation_mib=activation_bytes(net, input_shape) / MIB,
        layers=layers,
    )


def _layer_costs(net: nn.Module, input_shape: Sequence[int]) -> list[LayerCost]:
    ghosts = {name for name, module in net.named_modules() if isinstance(module, GhostModule)}
    groups: dict[str, list[LayerRow]] = {}
    for row in layer_table(net, input_shape):
        groups.setdefault(_owner(row.name, ghosts), []).append(row)
    costs = [_layer_cost(net, name, rows) for name, rows in groups.items()]
    return [cost for cost in costs if cost.params or cost.macs or cost.thop]


def _owner(name: str, ghosts: set[str]) -> str:
    """Name of the Ghost module that holds this layer, else the layer's own."""
    parts = name.split(".")
    outer = ("", *(".".join(parts[:count]) for count in range(1, len(parts) + 1)))
    return next((prefix for prefix in outer if prefix in ghosts), name)


def _layer_cost(net: nn.Module, name: str, rows: list[LayerRow]) -> LayerCost:
    module = net.get_submodule(name)
    is_ghost = isinstance(module, GhostModule)
    out_shape = rows[-1].out_shape
    if is_ghost:  # the cheap operation may make more maps than are kept
        out_shape = (module.out_channels, *out_shape[1:])
    cheap = f"{name}.cheap_operation.".removeprefix(".")
    own = module.parameters(recurse=is_ghost)
    return LayerCost(
        name=name,
        type=type(module).__name__,
        out_shape=out_shape,
        params=sum(row.params for row in rows),
        frozen=sum(parameter.numel() for parameter in own if not parameter.requires_grad),
        macs=sum(row.macs for row in rows),
        cheap_macs=sum(row.macs for row in rows if is_ghost and row.name.startswith(cheap)),
        products=sum(row.products for row in rows),
        thop=sum(row.thop for row in rows),
    )


def layer_rows(cost: NetworkCost, twin: NetworkCost | None) -> list[dict[str, Any]]:
    """Rows for a CSV file; a Ghost module's row also has the params and macs of its convolution."""
    dense = dense_layers(cost, twin)
    rows = []
    for layer in cost.layers:
        other = dense.get(layer.name)
        replaced = (other.params, other.macs) if other else (None, None)
        row = asdict(layer) | {"out_shape": "x".join(map(str, layer.out_shape))}
        rows.append(row | dict(zip(("dense_params", "dense_macs"), replaced, strict=True)))
    return rows


def as_json(
    cost: NetworkCost, twin: NetworkCost | None, published: list[PublishedCost]
) -> dict[str, Any]:
    """All of the report as plain data."""
    keys = ("params", "trainable", "frozen", "macs", "thop", "size_mib", "activation_mib")
    factors = {}
    if twin is not None:
        pairs = {key: (getattr(twin, key), getattr(cost, key)) for key in keys}
        factors = {key: dense / ours for key, (dense, ours) in pairs.items() if ours}
    return {
        "network": asdict(cost),
        "dense_twin": asdict(twin) if twin is not None else None,
        "times_fewer": factors,
        "published": [asdict(figure) for figure in published],
    }


def dense_layers(cost: NetworkCost, twin: NetworkCost | None) -> dict[str, LayerCost]:
    """The convolutions of the dense twin, by the name of the Ghost module that replaced each."""
    ghosts = {layer.name for layer in cost.layers if layer.type == GhostModule.__name__}
    return {layer.name: layer for layer in twin.layers if layer.name in ghosts} if twin else {}
