"""From a network to a plan: the operators of its exported program are read in their order.

Each operator becomes an expression. Operators that follow a convolution are joined with it: a batch
norm, a cheap operation, a residual, a ReLU. When another layer needs the maps, the convolution with
what was joined becomes a step of the plan. A Ghost module is recognised as the concatenation of a
convolution's maps and of a depthwise convolution of these maps. Any other concatenation copies
nothing: its parts are written to their places in it, and slices of maps are read from their places.
"""

from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor, fx
from torch.export import ExportedProgram

from ghostexp.deploy.native.nodes import arguments, channels, check, is_only_user, outputs, shape
from ghostexp.deploy.native.plan import (
    Cheap,
    Conv,
    Maps,
    MaxPool,
    MeanPool,
    Part,
    Plan,
    Step,
    View,
    is_open,
    scaled,
)

aten = torch.ops.aten
Value = Maps | View | Cheap | Conv | Tensor | None


def read_plan(program: ExportedProgram, input_shape: tuple[int, int, int]) -> Plan:
    """The steps of a program exported in evaluation mode for images (channels, height, width).

    ValueError names the first layer that no kernel computes.
    """
    return _Reader(program, Maps(*input_shape)).plan()


class _Reader:
    """Reads an exported program node by node; `values` holds the expression of each node."""

    def __init__(self, program: ExportedProgram, images: Maps) -> None:
        self.program = program
        self.images = images
        self.steps: list[Step] = []
        self.parts: dict[Maps, Part] = {}
        self.values: dict[fx.Node, Value] = {}
        self.readers: dict[Callable, Callable[[fx.Node], Value]] = {
            aten.conv2d.default: self._conv,
            aten.linear.default: self._linear,
            aten.batch_norm.default: self._batch_norm,
            aten.relu.default: self._relu,
            aten.relu_.default: self._relu,
            aten.add.Tensor: self._add,
            aten.cat.default: self._cat,
            aten.slice.Tensor: self._slice,
            aten.alias.default: self._same,
            aten.pad.default: self._pad,
            aten.max_pool2d.default: self._max_pool,
            aten.adaptive_avg_pool2d.default: self._mean_pool,
            aten.flatten.using_ints: self._flatten,
        }

    def plan(self) -> Plan:
        tensors = {**self.program.state_dict, **self.program.constants}
        names = {spec.arg.name: spec.target for spec in self.program.graph_signature.input_specs}
        for node in self.program.graph.nodes:
            if node.op == "placeholder":
                name = names[node.name]  # None for the images
                self.values[node] = self.images if name is None else tensors[name].double()
            elif node.op == "output":
                (logits,) = node.args[0]
                check(len(shape(logits)) == 2, logits, "an output that is not logits")
                return Plan(self.steps, self.images, self._maps(logits), self.parts)
            else:
                check(node.target in self.readers, node, str(node.target))
                check(not node.kwargs, node, f"{node.target} with {dict(node.kwargs)}")
                self.values[node] = self.readers[node.target](node)
        raise AssertionError("a graph ends in its output")

    def _maps(self, node: fx.Node) -> Maps:
        """The maps in memory that `node` stands for; a convolution still open is closed."""
        value = self.values[node]
        if isinstance(value, Conv):
            if value not in self.steps:
                self.steps.append(value)
            return value.outputs
        check(isinstance(value, Maps), node, f"{node.target} read by other layers")
        return value

    def _view(self, node: fx.Node) -> View:
        value = self.values[node]
        return value if isinstance(value, View) else View(self._maps(node), channels(node))

    def _weights(self, weight: fx.Node, bias: fx.Node | None) -> tuple[Tensor, Tensor]:
        values = self.values[weight]
        return values, values.new_zeros(len(values)) if bias is None else self.values[bias]

    def _conv(self, node: fx.Node) -> Value:
        source, weight, bias, stride, padding, dilation, groups = arguments(
            node, None, None, None, [1, 1], [0, 0], [1, 1], 1
        )
        weight, bias = self._weights(weight, bias)
        size = weight.shape[-1]
        same = padding == [size // 2] * 2 and dilation == [1, 1] and stride[0] == stride[1]
        square = weight.shape[-2] == size and size % 2 == 1
        check(square and same, node, "a convolution not square, odd and padded by half its kernel")
        if groups > 1:
            depthwise = groups == channels(source) and stride[0] == 1
            conv = self.values[source]
            cheap = depthwise and is_open(conv) and conv.cheap is None
            check(cheap, node, "a grouped convolution outside of a Ghost module")
            return Cheap(conv, weight[:, 0], bias, each=len(weight) // groups)
        check(size <= 3, node, f"a {size}x{size} convolution")
        return Conv(self._maps(source), outputs(node), weight, bias, stride[0])

    def _linear(self, node: fx.Node) -> Value:
        source, weight, bias = arguments(node, None, None, None)
        weight, bias = self._weights(weight, bias)
        inputs = self._maps(source)
        check(inputs.height * inputs.width == 1, node, "a linear layer on more than one pixel")
        return Conv(inputs, outputs(node), weight[:, :, None, None], bias)

    def _batch_norm(self, node: fx.Node) -> Value:
        source, weight, bias, mean, variance, training, _, eps, _ = node.args
        check(not training, node, "batch norm that keeps no statistics")
        scale = (self.values[variance] + eps).rsqrt()
        scale = scale if weight is None else scale * self.values[weight]
        shift = -self.values[mean] * scale
        shift = shift if bias is None else shift + self.values[bias]
        value = self.values[source]
        if isinstance(value, Cheap):
            return scaled(value, scale, shift)
        check(is_open(value), node, "batch norm that follows no convolution")
        if value.cheap is None:
            return replace(scaled(value, scale, shift), outputs=outputs(node))
        half = len(value.weight)
        return replace(
            value,
            outputs=outputs(node),
            scale=value.scale * scale[:half],
            shift=value.shift * scale[:half] + shift[:half],
            cheap=scaled(value.cheap, scale[half:], shift[half:]),
        )

    def _relu(self, node: fx.Node) -> Value:
        (source,) = node.args
        if node.target is aten.relu_.default:
            check(is_only_user(source), node, "an in-place ReLU of maps that others read")
        conv = self.values[source]
        check(isinstance(conv, Conv) and not conv.relu, node, "a ReLU that follows no convolution")
        return replace(conv, outputs=outputs(node), relu=True)

    def _add(self, node: fx.Node) -> Value:
        first, second = node.args
        check(isinstance(second, fx.Node), node, "an addition of unlike maps")
        if not is_open(self.values[first]) or shape(first) != shape(node):
            first, second = second, first
        conv = self.values[first]
        alike = shape(first) == shape(node) and shape(second)[:2] == shape(node)[:2]
        is_broadcast = alike and shape(second)[2:].numel() == 1 < shape(node)[2:].numel()
        fits = is_broadcast or (alike and shape(second) == shape(node))
        check(fits, node, "an addition of unlike maps")
        check(is_open(conv), node, "an addition to no convolution")
        view = self._view(second)
        view = replace(view, row_step=0, column_step=0) if is_broadcast else view
        return replace(conv, outputs=outputs(node), residual=view)

    def _cat(self, node: fx.Node) -> Value:
        parts, dim = arguments(node, None, 0)
        values = [self.values[part] for part in parts]
        check(dim == 1, node, "a concatenation that is not of channels")
        if len(values) != 2 or not isinstance(values[1], Cheap) or values[1].conv is not values[0]:
            return self._joined(node, parts)
        conv, cheap = values
        one = torch.ones_like(conv.bias)
        return replace(conv, outputs=outputs(node), cheap=cheap, scale=one, shift=0 * one)

    def _joined(self, node: fx.Node, parts: list[fx.Node]) -> Maps:
        """Maps in which `parts` lie one behind the other: they are written there at once."""
        whole, first = outputs(node), 0
        for part in parts:
            maps = self._maps(part)
            own = maps not in self.parts and maps is not self.images
            check(own, node, "a concatenation of what lies in other maps")
            self.parts[maps] = Part(whole, first)
            first += maps.channels
        return whole

    def _slice(self, node: fx.Node) -> Value:
        source, dim, start, end, step = arguments(node, None, 0, None, None, 1)
        value = self.values[source]
        if shape(node) == shape(source):
            return value
        if isinstance(value, Cheap):
            check(dim == 1 and not start and step == 1, node, "a slice of ghost maps")
            return replace(value, weight=value.weight[:end], bias=value.bias[:end])
        if dim == 1 and step == 1:
            some = outputs(node)
            self.parts[some] = Part(self._maps(source), start or 0)
            return some
        whole = not start and (end is None or end >= shape(source)[dim])
        check(whole and dim in (2, 3), node, "a slice of maps")
        view = self._view(source)
        if dim == 2:
            return replace(view, row_step=view.row_step * step)
        return replace(view, column_step=view.column_step * step)

    def _pad(self, node: fx.Node) -> Value:
        source, padding, mode, fill = arguments(node, None, None, "constant", None)
        zeros = mode == "constant" and not fill and len(padding) == 6 and not any(padding[:4])
        check(zeros and min(padding) >= 0, node, "a padding of pixels")
        view = self._view(source)
        return replace(view, channels=channels(node), first=view.first + padding[4])

    def _max_pool(self, node: fx.Node) -> Value:
        source, window, stride, padding, dilation, ceil = arguments(
            node, None, None, [], [0, 0], [1, 1], False
        )
        stride = stride or window
        plain = len({*window}) == len({*stride}) == 1 and not any(padding)
        check(plain and set(dilation) == {1} and not ceil, node, "a pooling with padding")
        self.steps.append(MaxPool(self._maps(source), outputs(node), window[0], stride[0]))
        return self.steps[-1].outputs

    def _mean_pool(self, node: fx.Node) -> Value:
        source, size = node.args
        check(size == [1, 1], node, f"a mean to {size} pixels")
        self.steps.append(MeanPool(self._maps(source), outputs(node)))
        return self.steps[-1].outputs

    def _flatten(self, node: fx.Node) -> Value:
        source = node.args[0]
        one_pixel = shape(source)[2:].numel() == 1 and len(shape(node)) == 2
        check(one_pixel, node, "a flattening of more than one pixel")
        return self.values[source]

    def _same(self, node: fx.Node) -> Value:
        return self.values[node.args[0]]
