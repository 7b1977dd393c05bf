"""What the calls of a step work on: memory of maps, statistics and gradients at fixed places."""

from collections import defaultdict
from ctypes import byref
from typing import Any

import torch
from torch import Tensor

from ghostexp.kernels.binding import addresses
from ghostexp.native.plan import Conv, Maps, Plan, Source, Term, View
from ghostexp.native.program import NormC, Program, SourceC, TermC

FLOAT = 4  # bytes
PAGE = 2**21  # bytes of a large page


class Block:
    """Memory that is free to be used again when the block is forgotten."""

    def __init__(self, tensor: Tensor, free: list[Tensor]) -> None:
        self.tensor = tensor
        self.address = tensor.data_ptr()
        self._free = free

    def __del__(self) -> None:
        self._free.append(self.tensor)


class State:
    """Memory of one step of a plan over a number of images, and structs that point into it.

    All of it stays where it is: calls are made once for many steps.
    """

    def __init__(self, plan: Plan, program: Program, images: int) -> None:
        self.plan, self.program, self.images = plan, program, images
        self.groups = -(-images // program.lanes)
        self.threads = torch.get_num_threads()
        self.bytes = 0  # of all blocks
        self._free: dict[int, list[Tensor]] = defaultdict(list)
        self._alive: list[Any] = []  # what only addresses refer to
        self.outputs: dict[Maps, Block] = {}
        self.kept = {source: self.take_maps(source.maps) for source in plan.stored}
        self.statistics = {
            conv.outputs: self.zeros(4, conv.outputs.channels) for conv in plan.convs
        }
        self.norms = {conv.outputs: self._norm(conv) for conv in plan.convs}
        self.features = torch.zeros(images, plan.steps[-1].inputs.maps.channels)
        self.grads = torch.zeros(sum(each.numel() for each in plan.parameters))
        parts = self.grads.split([each.numel() for each in plan.parameters])
        self.grad_of = dict(zip(plan.parameters, parts, strict=True))

    @property
    def work(self) -> tuple[int, int]:
        """The last arguments of most functions."""
        return self.images, self.threads

    def take_maps(self, maps: Maps) -> Block:
        """A block for maps of all images."""
        values = self.groups * self.program.lanes * maps.channels * maps.pixels
        return self.take(values // 2 if self.program.bf16 else values)

    def take(self, values: int) -> Block:
        """A block of float32 values, which are arbitrary."""
        free = self._free[values]
        if not free:
            self.bytes += FLOAT * values
            free.append(self._allocate(values))
        return Block(free.pop(), free)

    def _allocate(self, values: int) -> Tensor:
        """New memory, in large pages where it fills one."""
        if FLOAT * values < PAGE:
            return torch.empty(values)
        memory = torch.empty(values + PAGE // FLOAT)
        start = -memory.data_ptr() % PAGE // FLOAT
        self.program.library.use_large_pages(memory[start:].data_ptr(), FLOAT * values)
        return memory[start : start + values]

    def zeros(self, *shape: int, dtype: torch.dtype = torch.float32) -> Tensor:
        """A tensor that lives as long as this state."""
        self._alive.append(torch.zeros(shape, dtype=dtype))
        return self._alive[-1]

    def pointer(self, struct: Any) -> Any:
        """An argument that points at a struct, which lives as long as this state."""
        self._alive.append(struct)
        return byref(struct)

    def source(self, source: Source) -> Any:
        """What a layer reads, as an argument."""
        kept, residual = self.kept.get(source), source.residual
        return self.pointer(
            SourceC(
                self._term(source.main),
                TermC() if residual is None else self._residual(residual),
                None if kept is None else kept.address,
                source.relu,
            )
        )

    def _term(self, term: Term) -> TermC:
        found = term_of(self.outputs[term.maps], term.maps, View(term))
        if term.norm is not None:
            found.scale, found.shift = addresses(*self.statistics[term.maps][2:])
        return found

    def _residual(self, view: View) -> TermC:
        value = view.value
        if isinstance(value, Source):
            if value in self.kept:
                return term_of(self.kept[value], value.maps, view)
            value = value.main  # a pooling's maps
        term = self._term(value)
        term.first, term.step = view.first, view.step
        return term

    def _norm(self, conv: Conv) -> NormC:
        """Tensors of a batch norm, whose `momentum` is set for each step."""
        norm = self.plan.norms[conv.outputs]
        tensors = norm.weight, norm.bias, conv.primary.bias, norm.running_mean, norm.running_var
        statistics = addresses(*self.statistics[conv.outputs])
        return NormC(*addresses(*tensors), 0.0, norm.eps, *statistics)


def term_of(block: Block, maps: Maps, view: View) -> TermC:
    """Maps in a block, seen through a view."""
    return TermC(
        block.address, None, None, maps.channels, maps.height, maps.width, view.first, view.step
    )


def cheap_weight(conv: Conv) -> int | None:
    """Where the weights of cheap operations lie: [ghosts, 1, d, d] is one order in every layout."""
    return None if conv.cheap is None else conv.cheap.weight.data_ptr()
