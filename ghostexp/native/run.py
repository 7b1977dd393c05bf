"""One training step of a plan: forward, what it keeps, and backward."""

from collections import defaultdict
from ctypes import byref

import torch
from torch import Tensor, nn

from ghostexp.kernels.binding import addresses
from ghostexp.native.memory import Block, Memory
from ghostexp.native.plan import Conv, Maps, MaxPool, MeanPool, Plan, Source, Step, Term, View
from ghostexp.native.program import (
    ClosingC,
    NormC,
    NormGradientC,
    Program,
    SourceC,
    TermC,
    sizes,
)

Grads = dict[nn.Parameter, Tensor]


class Run:
    """A forward pass over a batch, and the backward pass that follows it.

    Maps lie in blocks: a convolution's `outputs`, and sources that are `kept` for other layers.
    """

    def __init__(self, plan: Plan, program: Program, memory: Memory, images: int) -> None:
        self.plan, self.program, self.memory, self.images = plan, program, memory, images
        self.library = program.library
        self.groups = -(-images // program.lanes)
        self.threads = torch.get_num_threads()
        self.outputs: dict[Maps, Block] = {}
        self.kept = {source: self._maps(source.maps) for source in plan.stored}
        self.packed: dict[Conv, Block] = {}
        self.statistics: dict[Maps, Tensor] = {}  # [4, C]: mean, inverse std, scale, shift

    def forward(self, images: Tensor) -> Tensor:
        """Images [N, c, H, W] -> means of the last maps, [N, C]."""
        grouped = self.outputs[self.plan.images] = self._maps(self.plan.images)
        self.library.group_images(
            *addresses(images), grouped.address, sizes(self.plan.images), *self._work
        )
        norms = self.plan.norms
        for step in self.plan.steps:
            source, maps = byref(self._source(step.inputs)), step.inputs.maps
            if isinstance(step, MeanPool):
                features = torch.empty(self.images, maps.channels)
                self.library.mean_pool(source, sizes(maps), *addresses(features), *self._work)
                continue
            outputs = self.outputs[step.outputs] = self._maps(step.outputs)
            if isinstance(step, MaxPool):
                ends = source, sizes(maps), step.window, outputs.address
                self.library.max_pool(*ends, *self._work)
            else:
                self._convolve(step, source, outputs, norms[step.outputs])
        return features

    def backward(self, features: Tensor) -> Grads:
        """Gradients of all parameters from that of the features, [N, C]."""
        if not self.outputs:
            raise RuntimeError("a native step goes backward once: its maps are freed by then")
        return _Backward(self).gradients(features)

    @property
    def _work(self) -> tuple[int, int]:
        return self.images, self.threads

    def _maps(self, maps: Maps) -> Block:
        return self.memory.take(self.groups * self.program.lanes * maps.channels * maps.pixels)

    def _convolve(self, conv: Conv, source: object, outputs: Block, norm: nn.BatchNorm2d) -> None:
        shape, maps = self.program.shapes[conv], conv.outputs
        packed = self.packed[conv] = self.memory.take(2 * shape.weights)
        ahead, back = packed.tensor.split(shape.weights)
        weight = conv.primary.weight.detach().contiguous()
        self.program.call("pack", conv, *addresses(weight, ahead, back))
        moments = torch.empty(self.groups, maps.channels, 2, dtype=torch.float64)
        cheap = _cheap_weight(conv)
        pointers = addresses(ahead, cheap, moments)
        self.program.call("forward", conv, source, outputs.address, *pointers, *self._work)
        self.statistics[maps] = torch.empty(4, maps.channels)
        values = byref(self._norm(conv, norm, moves=True))
        self.library.join_moments(
            moments.data_ptr(), values, maps.channels, maps.pixels, self.images
        )

    def _norm(self, conv: Conv, norm: nn.BatchNorm2d, moves: bool) -> NormC:
        """Tensors of a batch norm; in the forward pass its running statistics move."""
        running, momentum = (None, None), 0.0
        if moves and norm.track_running_stats:
            running, momentum = (norm.running_mean, norm.running_var), norm.momentum
            norm.num_batches_tracked.add_(1)
            torch.autograd.graph.increment_version(running)
            if momentum is None:  # the plain average of all batches so far
                momentum = 1 / int(norm.num_batches_tracked)
        tensors = addresses(norm.weight, norm.bias, conv.primary.bias, *running)
        return NormC(*tensors, momentum, norm.eps, *addresses(*self.statistics[conv.outputs]))

    def _source(self, source: Source) -> SourceC:
        kept = self.kept.get(source)
        return SourceC(
            self._term(source.main),
            TermC() if source.residual is None else self._residual(source.residual),
            None if kept is None else kept.address,
            source.relu,
        )

    def _term(self, term: Term) -> TermC:
        scale = shift = None
        if term.norm is not None:
            _, _, scale, shift = self.statistics[term.maps]
        maps = term.maps
        return TermC(
            self.outputs[maps].address,
            *addresses(scale, shift),
            *(maps.channels, maps.height, maps.width, 0, 1),
        )

    def _residual(self, view: View) -> TermC:
        if isinstance(view.value, Term):
            term = self._term(view.value)
            term.first, term.step = view.first, view.step
            return term
        if view.value not in self.kept:  # a pooling's maps
            return self._residual(View(view.value.main, view.first, view.step))
        return term_of(self.kept[view.value], view.value.maps, view)


class _Backward:
    """The backward pass of a run. Blocks of gradients are free as soon as nothing reads them."""

    def __init__(self, run: Run) -> None:
        self.run = run
        self.grads: dict[Maps, Block] = {}  # of sources, by the maps that they are made of
        self.sums: dict[Maps, Tensor] = {}  # [groups, C, 2] that the batch norm of maps needs
        self.pending: dict[Source, list[tuple[Block, Maps, View]]] = defaultdict(list)
        self.first_readers = {step.inputs: step for step in reversed(run.plan.steps)}
        self.found: Grads = {}

    def gradients(self, features: Tensor) -> Grads:
        """Gradients of all parameters."""
        run = self.run
        for step in reversed(run.plan.steps):
            source, maps = byref(run._source(step.inputs)), step.inputs.maps
            closing = byref(self._closing(step))
            if isinstance(step, MeanPool):
                run.library.mean_pool_backward(
                    source, sizes(maps), *addresses(features), closing, *run._work
                )
            elif isinstance(step, MaxPool):
                grads = self.grads.pop(step.outputs)
                ends = source, sizes(maps), step.window, grads.address
                run.library.max_pool_backward(*ends, closing, *run._work)
            else:
                self._convolution(step, source, closing)
        run.outputs.clear()
        run.kept.clear()
        return self.found

    def _convolution(self, conv: Conv, source: object, closing: object) -> None:
        run, maps, norm = self.run, conv.outputs, self.run.plan.norms[conv.outputs]
        shape, grads, outputs = run.program.shapes[conv], self.grads.pop(maps), run.outputs[maps]
        mean = run.statistics[maps][0]
        sums = self.sums.pop(maps, None)
        if sums is None:
            sums = self._empty_sums(maps)
            run.library.sum_gradients(
                grads.address, outputs.address, *addresses(mean), sizes(maps), *addresses(sums),
                *run._work,
            )  # fmt: skip
        factors = torch.empty(3, maps.channels)
        norm_grads = self._new(norm.weight), self._new(norm.bias)
        run.library.spread_sums(
            *addresses(sums),
            byref(run._norm(conv, norm, moves=False)),
            *(maps.channels, maps.pixels, run.images),
            *addresses(factors, *norm_grads),
        )
        gradient = NormGradientC(grads.address, outputs.address, *addresses(mean, *factors))
        slots = run.memory.take(run.groups * (shape.weights + shape.cheap_weights))
        packed = run.packed.pop(conv)
        _, back = packed.tensor.split(shape.weights)
        weight_grad = self._new(conv.primary.weight)
        cheap_grad = None if conv.cheap is None else self._new(conv.cheap.weight)
        if conv.primary.bias is not None:
            self.found[conv.primary.bias] = torch.zeros_like(conv.primary.bias)
        cheap = _cheap_weight(conv)
        pointers = addresses(back, cheap, slots.tensor, weight_grad, cheap_grad)
        run.program.call("backward", conv, source, byref(gradient), closing, *pointers, *run._work)

    def _new(self, parameter: nn.Parameter) -> Tensor:
        """The gradient of a parameter, to be filled; ghosts that are cut away have none."""
        grad = torch.zeros(parameter.shape)
        self.found[parameter] = grad
        return grad

    def _empty_sums(self, maps: Maps) -> Tensor:
        return torch.empty(self.run.groups, maps.channels, 2, dtype=torch.float64)

    def _closing(self, step: Step) -> ClosingC:
        """What becomes of the gradient of the step's inputs, and who reads it afterwards."""
        run, source = self.run, step.inputs
        maps = source.maps
        closing = ClosingC()
        if maps is run.plan.images:
            return closing
        waiting = self.pending.pop(source, [])
        for index, (block, of, view) in enumerate(waiting):
            closing.more[index] = term_of(block, of, view)
        grads = run._maps(maps)
        grads.holds = waiting  # they are read while this one is written
        closing.grads = grads.address
        if self.first_readers[source] is not step:
            self.pending[source].append((grads, maps, View(source)))
            return closing
        closing.relu = source.relu
        self.grads[maps] = grads
        if source.main.norm is not None:
            sums = self.sums[maps] = self._empty_sums(maps)
            closing.outputs = run.outputs[maps].address
            closing.mean, closing.sums = addresses(run.statistics[maps][0], sums)
        if source.residual is not None:
            self._give_on(source.residual, grads, maps)
        return closing

    def _give_on(self, view: View, grads: Block, maps: Maps) -> None:
        """The gradient of a sum is that of both of its terms."""
        if isinstance(view.value, Term):
            self.grads[view.value.maps] = grads
        else:
            self.pending[view.value].append((grads, maps, view))


def term_of(block: Block, maps: Maps, view: View) -> TermC:
    """Maps in a block, seen through a view."""
    return TermC(
        block.address, None, None, maps.channels, maps.height, maps.width, view.first, view.step
    )


def _cheap_weight(conv: Conv) -> Tensor | None:
    return None if conv.cheap is None else conv.cheap.weight.detach().contiguous()
