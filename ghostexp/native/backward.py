"""The calls of a backward pass: the plan's steps from the last to the first.

Every step hands on the gradient of its inputs. Who reads a source first writes its gradient last,
adds what the other readers have found, and takes the sums that the batch norm needs.
"""

from collections import defaultdict
from functools import partial
from typing import Any

import torch

from ghostexp.kernels.binding import addresses
from ghostexp.native.forward import Call
from ghostexp.native.plan import Conv, Maps, MaxPool, MeanPool, Source, Step, Term, View
from ghostexp.native.program import ClosingC, NormGradientC, sizes
from ghostexp.native.state import Block, State, cheap_weight, term_of

Waiting = tuple[Block, Maps, View]  # a gradient that will be added, and how it is seen


class Backward:
    """Makes the calls; blocks of gradients are free as soon as no later call reads them."""

    def __init__(self, state: State, packed: dict[Conv, Block], feature_grads: int) -> None:
        self.state, self.packed, self.feature_grads = state, packed, feature_grads
        self.grads: dict[Maps, Block] = {}  # of sources, by the maps that they are made of
        self.sums: dict[Maps, int] = {}  # [groups, C, 2] that the batch norm of maps needs
        self.pending: dict[Source, list[Waiting]] = defaultdict(list)
        self.first_readers = {step.inputs: step for step in reversed(state.plan.steps)}

    def calls(self) -> list[Call]:
        """Calls that take the gradients of the features to the gradients of all parameters."""
        return [call for step in reversed(self.state.plan.steps) for call in self._step(step)]

    def _step(self, step: Step) -> list[Call]:
        state, library = self.state, self.state.program.library
        waiting = self.pending.pop(step.inputs, [])  # held until this step's gradient has a block
        source, maps = state.source(step.inputs), step.inputs.maps
        closing = state.pointer(self._closing(step, waiting))
        if isinstance(step, MeanPool):
            ends = source, sizes(maps), self.feature_grads, closing
            return [partial(library.mean_pool_backward, *ends, *state.work)]
        if isinstance(step, MaxPool):
            given = self.grads.pop(step.outputs).address
            ends = source, sizes(maps), step.window, given, closing
            return [partial(library.max_pool_backward, *ends, *state.work)]
        return self._convolution(step, source, closing)

    def _convolution(self, conv: Conv, source: Any, closing: Any) -> list[Call]:
        state, program, maps = self.state, self.state.program, conv.outputs
        norm, grad_of, shape = state.plan.norms[maps], state.grad_of, program.shapes[conv]
        grads, outputs = self.grads.pop(maps), state.outputs.pop(maps)
        mean, factors = state.statistics[maps][0], state.zeros(3, maps.channels)
        calls = []
        if maps not in self.sums:  # the gradient came through an addition
            self.sums[maps] = self._empty_sums(maps)
            ends = grads.address, outputs.address, mean.data_ptr(), sizes(maps), self.sums[maps]
            calls.append(partial(program.library.sum_gradients, *ends, *state.work))
        spread = (
            *(self.sums[maps], state.pointer(state.norms[maps])),
            *(maps.channels, maps.pixels, state.images),
            *addresses(factors, grad_of[norm.weight], grad_of[norm.bias]),
        )
        calls.append(partial(program.library.spread_sums, *spread))
        gradient = NormGradientC(grads.address, outputs.address, *addresses(mean, *factors))
        slots = state.take(state.groups * (shape.weights + shape.cheap_weights))
        backward = (
            *(source, state.pointer(gradient), closing),
            *(self.packed[conv].tensor.chunk(2)[1].data_ptr(), cheap_weight(conv), slots.address),
            *(grad_of[conv.primary.weight].data_ptr(),),
            *(None if conv.cheap is None else grad_of[conv.cheap.weight].data_ptr(),),
        )
        calls.append(partial(program.function("backward", conv), *backward, *state.work))
        return calls

    def _empty_sums(self, maps: Maps) -> int:
        shape = self.state.groups, maps.channels, 2
        return self.state.zeros(*shape, dtype=torch.float64).data_ptr()

    def _closing(self, step: Step, waiting: list[Waiting]) -> ClosingC:
        """What becomes of the gradient of the step's inputs, and who reads it afterwards."""
        state, source, maps = self.state, step.inputs, step.inputs.maps
        closing = ClosingC()
        if maps is state.plan.images:
            return closing
        for index, (block, of, view) in enumerate(waiting):
            closing.more[index] = term_of(block, of, view)
        grads = state.take_maps(maps)
        closing.grads = grads.address
        if self.first_readers[source] is not step:
            self.pending[source].append((grads, maps, View(source)))
            return closing
        closing.relu = source.relu
        self.grads[maps] = grads
        if source.main.norm is not None:
            self.sums[maps] = closing.sums = self._empty_sums(maps)
            closing.outputs = state.outputs[maps].address
            closing.mean = state.statistics[maps][0].data_ptr()
        if source.residual is not None:
            self._give_on(source.residual, grads, maps)
        return closing

    def _give_on(self, view: View, grads: Block, maps: Maps) -> None:
        """The gradient of a sum is the gradient of both of its terms."""
        if isinstance(view.value, Term):
            self.grads[view.value.maps] = grads
        else:
            self.pending[view.value].append((grads, maps, view))
