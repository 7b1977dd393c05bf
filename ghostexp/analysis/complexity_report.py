"""What a network costs, layer by layer, beside its dense twin and beside the printed figures.

A Ghost module is one row, its halves together, so that it stands beside the convolution of the
same name in the dense twin: the network that the same factory builds with ratio 1.
"""

from collections.abc import Sequence
from copy import deepcopy
from dataclasses import asdict, dataclass
from math import prod
from typing import Any

import torch
from rich.table import Table
from torch import Tensor, nn
from torch.autograd.graph import saved_tensors_hooks
from torch.nn.modules.batchnorm import _BatchNorm

from ghostexp.analysis.complexity import (
    LayerRow,
    count_params,
    count_trainable_params,
    layer_table,
    training_outputs,
)
from ghostexp.analysis.published_costs import PublishedCost, agrees, printed_value
from ghostexp.layers.ghost import GhostModule

MIB = 2**20
THOP_PER_NORM_ELEMENT = 4
DETECTOR_PARTS = {  # names in torchvision's detectors
    "backbone.body": "backbone",
    "backbone.fpn": "neck: feature pyramid",
    "rpn": "head: region proposals",
    "roi_heads": "head: classes and boxes of proposals",
    "head": "head: classes and boxes",
}


@dataclass(frozen=True)
class LayerCost:
    """One layer or Ghost module, all its calls together; output without the batch axis."""

    name: str
    type: str
    out_shape: tuple[int, ...]
    params: int
    frozen: int
    macs: int
    cheap_macs: int  # of the macs: the cheap operation's
    thop: int


@dataclass(frozen=True)
class NetworkCost:
    """Totals of a network and its layers that cost anything; memory in MiB."""

    params: int
    trainable: int
    frozen: int
    macs: int
    thop: int
    size_mib: float  # parameters and buffers
    activation_mib: float  # an image, kept for the backward pass
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
        thop=sum(layer.thop for layer in layers),
        size_mib=model_bytes(net) / MIB,
        activation_mib=activation_bytes(net, input_shape) / MIB,
        layers=layers,
    )


def model_bytes(net: nn.Module) -> int:
    """Bytes of all parameters and buffers."""
    return sum(t.numel() * t.element_size() for t in [*net.parameters(), *net.buffers()])


def activation_bytes(net: nn.Module, input_shape: Sequence[int]) -> int:
    """Bytes that one image more in a batch keeps for the backward pass, in training mode.

    Counts each storage that autograd saves once, without parameters and buffers. What is saved
    once a batch, such as a batch norm's statistics, cancels out.
    """
    copy = deepcopy(net).train()  # a forward pass in training mode changes running statistics
    return _saved_bytes(copy, 3, input_shape) - _saved_bytes(copy, 2, input_shape)


def _saved_bytes(net: nn.Module, batch_size: int, input_shape: Sequence[int]) -> int:
    own = {t.untyped_storage().data_ptr() for t in [*net.parameters(), *net.buffers()]}
    saved: dict[int, int] = {}

    def pack(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own:
            saved[storage.data_ptr()] = storage.nbytes()
        return tensor

    parameter = next(net.parameters(), torch.empty(0))
    images = torch.rand(batch_size, *input_shape, device=parameter.device, dtype=parameter.dtype)
    with torch.enable_grad(), saved_tensors_hooks(pack, lambda tensor: tensor):
        outputs = training_outputs(net, images)
    total = sum(saved.values())
    del outputs  # its graph kept every storage alive, so that no address was used twice
    return total


def _layer_costs(net: nn.Module, input_shape: Sequence[int]) -> list[LayerCost]:
    ghosts = {name for name, module in net.named_modules() if isinstance(module, GhostModule)}
    groups: dict[str, list[LayerRow]] = {}
    for row in layer_table(net, input_shape):
        groups.setdefault(_owner(row.name, ghosts), []).append(row)
    costs = [_layer_cost(net, name, rows) for name, rows in groups.items()]
    return [cost for cost in costs if cost.params or cost.thop]


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
    macs = sum(row.macs for row in rows)
    norm_elements = sum(
        prod(row.out_shape) for row in rows if isinstance(net.get_submodule(row.name), _BatchNorm)
    )
    own = module.parameters(recurse=is_ghost)
    return LayerCost(
        name=name,
        type=type(module).__name__,
        out_shape=out_shape,
        params=sum(row.params for row in rows),
        frozen=sum(parameter.numel() for parameter in own if not parameter.requires_grad),
        macs=macs,
        cheap_macs=sum(row.macs for row in rows if is_ghost and row.name.startswith(cheap)),
        thop=macs + THOP_PER_NORM_ELEMENT * norm_elements,
    )


def totals_table(cost: NetworkCost, twin: NetworkCost | None, title: str) -> Table:
    """Totals, beside the dense twin's with the factor between them."""
    table = Table("", "this network", title=title, title_justify="left")
    table.columns[1].justify = "right"
    if twin is not None:
        table.add_column("dense twin", justify="right")
        table.add_column("times fewer", justify="right")
    for label, key, form in _TOTALS:
        mine = getattr(cost, key)
        cells = [label, form.format(mine)]
        if twin is not None:
            cells += [form.format(getattr(twin, key)), _factor(getattr(twin, key), mine)]
        table.add_row(*cells)
    return table


_TOTALS = (  # label, field, format
    ("params", "params", "{:,}"),
    ("  trainable", "trainable", "{:,}"),
    ("  frozen", "frozen", "{:,}"),
    ("macs", "macs", "{:,}"),
    ("thop figure (macs + 4 a batch norm element)", "thop", "{:,}"),
    ("model size, MiB (parameters and buffers)", "size_mib", "{:,.3f}"),
    ("activations, MiB an image (saved for backward)", "activation_mib", "{:,.3f}"),
)


def parts_table(cost: NetworkCost) -> Table:
    """A row for each part of a detector: backbone, neck and heads, with its share of the macs."""
    table = Table("part", title="Parts", title_justify="left")
    for name in ("params", "macs", "share of macs"):
        table.add_column(name, justify="right")
    for prefix, part in DETECTOR_PARTS.items():
        layers = [layer for layer in cost.layers if layer.name.startswith(f"{prefix}.")]
        if layers:
            params, macs = (
                sum(getattr(each, key) for each in layers) for key in ("params", "macs")
            )
            table.add_row(part, f"{params:,}", f"{macs:,}", f"{macs / cost.macs:.1%}")
    return table


def layers_table(cost: NetworkCost, twin: NetworkCost | None) -> Table:
    """A row a layer; beside a Ghost module stand the macs of the convolution it replaced."""
    table = Table("layer", "type", "output", title="Layers", title_justify="left")
    for name in ("params", "frozen", "macs", "of it cheap", "thop"):
        table.add_column(name, justify="right")
    if twin is not None:
        table.add_column("dense macs", justify="right")
        table.add_column("times fewer", justify="right")
    dense = _dense_layers(cost, twin)
    for layer in cost.layers:
        counts = (layer.params, layer.frozen, layer.macs, layer.cheap_macs, layer.thop)
        cells = [layer.name, layer.type, "x".join(map(str, layer.out_shape))]
        cells += [f"{count:,}" if count else "" for count in counts]
        if other := dense.get(layer.name):
            cells += [f"{other.macs:,}", _factor(other.macs, layer.macs)]
        table.add_row(*cells)
    return table


def layer_rows(cost: NetworkCost, twin: NetworkCost | None) -> list[dict[str, Any]]:
    """Rows for a CSV file, with params and macs of the convolution that a Ghost module replaced."""
    dense = _dense_layers(cost, twin)
    rows = []
    for layer in cost.layers:
        other = dense.get(layer.name)
        replaced = (other.params, other.macs) if other else (None, None)
        row = asdict(layer) | {"out_shape": "x".join(map(str, layer.out_shape))}
        rows.append(row | dict(zip(("dense_params", "dense_macs"), replaced, strict=True)))
    return rows


def published_table(cost: NetworkCost, published: list[PublishedCost]) -> Table:
    """Printed figures beside the counts; "exact" where a rounded count gives every digit."""
    table = Table(title="Beside the printed figures", title_justify="left")
    for name in ("source", "figure", "printed", "counted", "difference", "why"):
        table.add_column(name, justify="right" if name in ("printed", "counted") else "left")
    for figure in published:
        for name, printed in (("params", figure.params), (figure.convention, figure.compute)):
            if printed is None:
                continue
            count = getattr(cost, name)
            difference = _difference(printed, count)
            why = "" if difference == "exact" else figure.remark
            table.add_row(figure.source, name, printed, f"{count:,}", difference, why)
    return table


def as_json(
    cost: NetworkCost, twin: NetworkCost | None, published: list[PublishedCost]
) -> dict[str, Any]:
    """All of the report as plain data."""
    keys = [key for _, key, _ in _TOTALS]
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


def _dense_layers(cost: NetworkCost, twin: NetworkCost | None) -> dict[str, LayerCost]:
    """The twin's convolutions, by the name of the Ghost module that replaced each."""
    ghosts = {layer.name for layer in cost.layers if layer.type == GhostModule.__name__}
    return {layer.name: layer for layer in twin.layers if layer.name in ghosts} if twin else {}


def _factor(dense: float, ours: float) -> str:
    return f"{dense / ours:.2f}" if ours else ""


def _difference(printed: str, count: int) -> str:
    if agrees(printed, count):
        return "exact"
    return f"{count / printed_value(printed)[0] - 1:+.1%}"
