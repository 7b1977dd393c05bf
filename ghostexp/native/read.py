"""From a network to the plan of its training step, layer by layer in the order of its forward.

The network is traced with its layers as they are, up to the mean pooling behind its last maps. What
lies behind the pooling stays torch's, as a module of the same layers.
"""

import operator
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
from torch import fx, nn
from torch.nn.functional import pad

from ghostexp.layers.ghost import GhostModule
from ghostexp.native.plan import Conv, Maps, MaxPool, MeanPool, Plan, Source, Step, Term, View

MAX_WINDOW = 8  # as in kernels/pooling.h
MAX_CHEAP_KERNEL = 7


def read_step(net: nn.Module, input_shape: tuple[int, ...]) -> tuple[Plan, fx.GraphModule]:
    """The plan for images (channels, height, width), and what torch computes of its features.

    ValueError names the first layer that no kernel computes.
    """
    tracer = _Tracer()
    try:
        graph = tracer.trace(net)
    except (fx.proxy.TraceError, TypeError) as error:
        reason = str(error).strip().split("\n")[0]
        raise ValueError(f"the native step cannot trace this network: {reason}") from error
    reader = _Reader(net, Maps(*input_shape))
    pool = reader.read(graph)
    _check_readers(reader.steps)
    return Plan(reader.images, reader.steps), _behind(net, graph, pool)


class _Tracer(fx.Tracer):
    """Keeps a Ghost module whole where its halves are bare convolutions."""

    def is_leaf_module(self, module: nn.Module, name: str) -> bool:
        return _is_bare(module) or super().is_leaf_module(module, name)


def _is_bare(module: nn.Module) -> bool:
    halves = [*module.children()] if type(module) is GhostModule else []
    return bool(halves) and all(len(half) == 1 and type(half[0]) is nn.Conv2d for half in halves)


class _Reader:
    """Reads a graph node by node; `values` holds what each node stands for."""

    def __init__(self, net: nn.Module, images: Maps) -> None:
        self.modules = dict(net.named_modules())
        self.images = images
        self.steps: list[Step] = []
        self.values: dict[fx.Node, Source | View | Maps | None] = {}
        self.layers: dict[type[nn.Module], Callable[[fx.Node, Any], Source | Maps]] = {
            nn.Conv2d: self._conv,
            GhostModule: self._ghost,
            nn.BatchNorm2d: self._norm,
            nn.ReLU: self._relu,
            nn.Identity: lambda node, _: self.values[node.args[0]],
            nn.MaxPool2d: self._max_pool,
        }
        self.functions = {
            operator.add: self._add,
            operator.iadd: self._add,
            torch.add: self._add,
            "add": self._add,
            torch.relu: self._relu,
            nn.functional.relu: self._relu,
            operator.getitem: self._pixels,
            pad: self._pad,
        }

    def read(self, graph: fx.Graph) -> fx.Node:
        """Fills `steps` up to the mean pooling, which it returns."""
        for node in graph.nodes:
            if node.op == "placeholder":
                _check(not self.values, node, "several inputs")
                self.values[node] = Source(Term(self.images))
            elif node.op == "call_module":
                module = self.modules[node.target]
                if isinstance(module, nn.AdaptiveAvgPool2d):
                    _check(module.output_size in (1, (1, 1)), node, f"{module}")
                    self.steps.append(MeanPool(self._source(node.args[0])))
                    return node
                _check(type(module) in self.layers, node, type(module).__name__)
                self.values[node] = self.layers[type(module)](node, module)
            elif node.users or node.op == "output":  # a check has no users
                _check(node.target in self.functions, node, f"{node.target}")
                self.values[node] = self.functions[node.target](node)
        raise AssertionError("a graph ends in its output")

    def _source(self, node: fx.Node) -> Source:
        value = self.values[node]
        _check(isinstance(value, Source), node, "maps that are read without a batch norm")
        return value

    def _conv(self, node: fx.Node, conv: nn.Conv2d) -> Maps:
        return self._layer(node, conv, None, conv.out_channels)

    def _ghost(self, node: fx.Node, ghost: GhostModule) -> Maps:
        primary = ghost.primary_conv[0]
        cheap = ghost.cheap_operation[0] if ghost.ratio > 1 else None
        if ghost.out_channels == primary.out_channels:
            cheap = None
        if cheap is not None:
            size = cheap.kernel_size[0]
            _check(size <= MAX_CHEAP_KERNEL, node, f"a cheap operation of {size}x{size}")
        return self._layer(node, primary, cheap, ghost.out_channels)

    def _layer(
        self, node: fx.Node, conv: nn.Conv2d, cheap: nn.Conv2d | None, channels: int
    ) -> Maps:
        size, stride = conv.kernel_size[0], conv.stride[0]
        same = conv.padding == (size // 2,) * 2 and conv.dilation == (1, 1)
        square = conv.kernel_size == (size,) * 2 and conv.stride == (stride,) * 2
        _check(conv.groups == 1, node, "a grouped convolution outside of a bare Ghost module")
        _check(square and same, node, "a convolution not square and padded by half its kernel")
        _check(size in (1, 3) and stride in (1, 2), node, f"a {size}x{size} convolution")
        _check(conv.padding_mode == "zeros", node, f"padding with {conv.padding_mode}")
        inputs = self._source(node.args[0])
        height, width = (-(-side // stride) for side in (inputs.maps.height, inputs.maps.width))
        self.steps.append(Conv(inputs, Maps(channels, height, width), conv, cheap))
        return self.steps[-1].outputs

    def _norm(self, node: fx.Node, norm: nn.BatchNorm2d) -> Source:
        maps = self.values[node.args[0]]
        _check(isinstance(maps, Maps), node, "a batch norm that follows no convolution")
        _check(norm.affine, node, "a batch norm without weights")
        return Source(Term(maps, norm))

    def _relu(self, node: fx.Node, _: nn.ReLU | None = None) -> Source:
        value = self._source(node.args[0])
        _check(value.main.norm is not None, node, "a ReLU that follows no batch norm")
        return value if value.relu else replace(value, relu=True)

    def _add(self, node: fx.Node) -> Source:
        first, second = (self.values.get(each) for each in node.args)
        if not _is_open(first):
            first, second = second, first
        _check(_is_open(first), node, "an addition to no batch norm")
        if isinstance(second, Source):
            plain = second.main.norm and not second.relu and second.residual is None
            second = View(second.main if plain else second)
        _check(isinstance(second, View), node, "an addition of other values")
        return replace(first, residual=second)

    def _view(self, node: fx.Node) -> View:
        value = self.values[node]
        return value if isinstance(value, View) else View(self._source(node))

    def _pixels(self, node: fx.Node) -> View:
        source, slices = node.args
        steps = [each.step or 1 for each in slices if each in _whole(each)]
        plain = len(steps) == 4 and steps[:2] == [1, 1] and steps[2] == steps[3]
        _check(plain and steps[2] in (1, 2), node, "a slice of maps")
        return replace(self._view(source), step=steps[2])

    def _pad(self, node: fx.Node) -> View:
        source, padding = node.args
        options = {"mode": "constant", "value": None} | node.kwargs
        _check([*options.values()] == ["constant", None], node, "a padding with values")
        zeros = len(padding) == 6 and not any(padding[:4]) and min(padding) >= 0
        _check(zeros, node, "a padding of pixels")
        return replace(self._view(source), first=padding[4])

    def _max_pool(self, node: fx.Node, pool: nn.MaxPool2d) -> Source:
        window = pool.kernel_size
        plain = isinstance(window, int) and pool.stride == window <= MAX_WINDOW
        rest = (pool.padding, pool.dilation, pool.ceil_mode, pool.return_indices)
        _check(plain and rest == (0, 1, False, False), node, f"{pool}")
        inputs = self._source(node.args[0])
        sides = inputs.maps.height // window, inputs.maps.width // window
        _check(min(sides) > 0, node, f"a {window}x{window} pooling of {inputs.maps.height} rows")
        self.steps.append(MaxPool(inputs, Maps(inputs.maps.channels, *sides), window))
        return Source(Term(self.steps[-1].outputs))


def _whole(each: slice) -> list[slice]:
    return [each] if each.start is None and each.stop is None else []


def _is_open(value: object) -> bool:
    """Whether a residual may still be added."""
    is_source = isinstance(value, Source) and value.main.norm is not None
    return is_source and not value.relu and value.residual is None


def _check_readers(steps: list[Step]) -> None:
    """Every batch norm ends in one source, and the first reader of a source is a layer."""
    sources: dict[Maps, Source] = {}
    read: set[Source] = set()
    for step in steps:
        view = step.inputs.residual
        terms = [step.inputs.main]
        if view is not None and isinstance(view.value, Term):
            terms.append(view.value)
        elif view is not None and view.value not in read:
            raise ValueError("the native step has no kernel for a residual that no layer read")
        for term in terms:
            if sources.setdefault(term.maps, step.inputs) is not step.inputs:
                raise ValueError("the native step has no kernel for maps with and without ReLU")
        read.add(step.inputs)
    if any(isinstance(step, Conv) and step.outputs not in sources for step in steps):
        raise ValueError("the native step has no kernel for a convolution without a batch norm")


def _behind(net: nn.Module, graph: fx.Graph, pool: fx.Node) -> fx.GraphModule:
    """What torch computes of the pooled features: the nodes behind `pool`."""
    rest, copies = fx.Graph(), {}
    copies[pool] = rest.placeholder("features")
    nodes = [*graph.nodes]
    for node in nodes[nodes.index(pool) + 1 :]:
        for other in node.all_input_nodes:
            _check(other in copies, node, "layers that read maps before the mean pooling")
        copies[node] = rest.node_copy(node, copies.__getitem__)
    return fx.GraphModule(net, rest)


def _check(supported: Any, node: fx.Node, what: str) -> None:
    if not supported:
        raise ValueError(f"the native step has no kernel for {what} (layer {node.name})")
