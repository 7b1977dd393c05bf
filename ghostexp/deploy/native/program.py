"""From a plan to C++: one struct of constants per shape of layer, and the calls in their order.

Weights and places in memory are arguments of the calls, so that layers of one shape share their
code, and networks of one architecture their library.
"""

from collections import defaultdict
from dataclasses import dataclass, fields

import torch
from torch import Tensor

from ghostexp.deploy.native.plan import Conv, Maps, MaxPool, MeanPool, Plan, Step, View

SUMS = 16  # channels times columns that a tile keeps in registers


@dataclass(frozen=True)
class Shape:
    """The constants of a convolution or Ghost module, named as inference.cpp reads them."""

    in_channels: int
    in_height: int
    in_width: int
    height: int
    width: int
    kernel_size: int
    stride: int
    intrinsic: int
    block: int  # channels of a tile
    ghosts: int
    ghosts_each: int  # of an intrinsic map
    cheap_kernel_size: int

    @classmethod
    def of(cls, conv: Conv) -> "Shape":
        inputs, outputs, cheap = conv.inputs, conv.outputs, conv.cheap
        return cls(
            in_channels=inputs.channels,
            in_height=inputs.height,
            in_width=inputs.width,
            height=outputs.height,
            width=outputs.width,
            kernel_size=conv.weight.shape[-1],
            stride=conv.stride,
            intrinsic=len(conv.weight),
            block=min(len(conv.weight), SUMS // min(outputs.width, 4)),
            ghosts=0 if cheap is None else len(cheap.weight),
            ghosts_each=1 if cheap is None else cheap.each,
            cheap_kernel_size=1 if cheap is None else cheap.weight.shape[-1],
        )

    @property
    def ring(self) -> int:
        """Vectors of raw rows that a Ghost module keeps for its cheap operation."""
        row = self.width + self.cheap_kernel_size - 1
        return self.intrinsic * (self.cheap_kernel_size + 1) * row if self.ghosts else 0


@dataclass(frozen=True)
class Program:
    """The generated `code`, its `weights` in the order of memory, and the memory it works in."""

    code: str
    weights: Tensor  # float32
    workspace: int  # vectors per thread


def write_program(plan: Plan) -> Program:
    """The C++ that follows inference.cpp, with the weights that it reads."""
    convs = {step: Shape.of(step) for step in plan.steps if isinstance(step, Conv)}
    names = {shape: f"Layer{index}" for index, shape in enumerate(dict.fromkeys(convs.values()))}
    places, ring = _assign_places(plan)
    weights, calls, start = [], [], 0
    for step in plan.steps:
        ends = f"at + {places[step.inputs]}, at + {places[step.outputs]}"
        if isinstance(step, Conv):
            calls.append(
                f"conv<{names[convs[step]]}>({ends}, at + {ring}, weights + {start},"
                f" {_residual(step.residual, places)}, {str(step.relu).lower()});"
            )
            weights.append(_flat_weights(step, convs[step].block))
            start += weights[-1].numel()
        else:
            calls.append(_pooling(step, ends))
    structs = [_struct(name, shape) for shape, name in names.items()]
    workspace = ring + max((shape.ring for shape in names), default=0)
    code = "\n".join([*structs, _network(plan, places, calls)])
    return Program(code, torch.cat(weights).float().contiguous(), workspace)


def _assign_places(plan: Plan) -> tuple[dict[Maps, int], int]:
    """Where the vectors of each `Maps` begin, and the number of vectors in all.

    A layer may overwrite the residual that it adds, pixel by pixel, if both have memory of their
    own.
    """
    last_uses = _last_uses(plan)
    memory = _Memory()
    memory.begin(plan.place(plan.images).whole)
    for index, step in enumerate(plan.steps):
        wholes = {source: plan.place(source).whole for source in _read(step)}
        done = {whole for whole in wholes.values() if last_uses[whole] == index}
        kept = wholes[step.inputs]
        early = {whole for whole in done if whole is not kept and whole in wholes}
        memory.end(early)
        memory.begin(plan.place(step.outputs).whole)
        memory.end(done - early)
    every = {plan.images, *(maps for step in plan.steps for maps in (*_read(step), step.outputs))}
    places = {}
    for maps in every:
        part = plan.place(maps)
        places[maps] = memory.starts[part.whole] + part.first * _grid(maps)
    return places, memory.size


def _last_uses(plan: Plan) -> dict[Maps, int]:
    """The last step that reads maps with memory of their own, or a part of them; else 0."""
    last_uses: dict[Maps, int] = defaultdict(int)
    for index, step in enumerate(plan.steps):
        for source in _read(step):
            last_uses[plan.place(source).whole] = index
    return last_uses


class _Memory:
    """Vectors for maps. They are used again only for maps of the same shape.

    The borders of zeros stay for that reason.
    """

    def __init__(self) -> None:
        self.starts: dict[Maps, int] = {}
        self.size = 0  # vectors
        self._free: dict[tuple[int, int, int], list[int]] = defaultdict(list)

    def begin(self, maps: Maps) -> None:
        """Give memory to maps that have none; maps of which a part was written have it already."""
        if maps in self.starts:
            return
        free = self._free[_shape(maps)]
        if not free:
            free.append(self.size)
            self.size += maps.channels * _grid(maps)
        self.starts[maps] = free.pop()

    def end(self, unused: set[Maps]) -> None:
        """Let later maps have the memory of maps that no later step reads."""
        for maps in unused:
            self._free[_shape(maps)].append(self.starts[maps])


def _grid(maps: Maps) -> int:
    """Vectors of one channel, with its border."""
    return (maps.height + 2) * (maps.width + 2)


def _read(step: Step) -> set[Maps]:
    residual = step.residual if isinstance(step, Conv) else None
    return {step.inputs} if residual is None else {step.inputs, residual.maps}


def _shape(maps: Maps) -> tuple[int, int, int]:
    return maps.channels, maps.height, maps.width


def _flat_weights(conv: Conv, block: int) -> Tensor:
    """Filters in blocks [in_channels][k][k][block], biases, then the parts of a Ghost module."""
    blocks = [part.permute(1, 2, 3, 0).flatten() for part in conv.weight.split(block)]
    if conv.cheap is None:
        return torch.cat([*blocks, conv.bias])
    cheap = [conv.cheap.weight.flatten(), conv.cheap.bias]
    return torch.cat([*blocks, conv.bias, conv.scale, conv.shift, *cheap])


def _residual(view: View | None, places: dict[Maps, int]) -> str:
    if view is None:
        return "kNoResidual"
    maps = view.maps
    numbers = [view.first, *_shape(maps), view.row_step, view.column_step]
    return f"{{at + {places[maps]}, {', '.join(map(str, numbers))}}}"


def _pooling(step: MaxPool | MeanPool, ends: str) -> str:
    if isinstance(step, MeanPool):
        return f"mean_pool({ends}, {_sizes(step.inputs)});"
    sizes = f"{_sizes(step.inputs)}, {_sizes(step.outputs)}"
    return f"max_pool({ends}, {sizes}, {step.window}, {step.stride});"


def _sizes(maps: Maps) -> str:
    return f"Sizes{{{maps.channels}, {maps.height}, {maps.width}}}"


def _struct(name: str, shape: Shape) -> str:
    constants = ", ".join(f"{field.name} = {getattr(shape, field.name)}" for field in fields(shape))
    return f"struct {name} {{ static constexpr int {constants}; }};"


def _network(plan: Plan, places: dict[Maps, int], calls: list[str]) -> str:
    body = "\n".join(f"    {call}" for call in calls)
    return f"""\
extern "C" void run(const float* images, float* logits, int64_t count, const float* weights,
                    Floats* const* workspaces, int threads) {{
  const auto network = [=](Floats* at) {{
{body}
  }};
  run_groups(images, {_sizes(plan.images)}, logits, {_sizes(plan.logits)}, count, workspaces,
             threads, {places[plan.images]}, {places[plan.logits]}, network);
}}
"""
