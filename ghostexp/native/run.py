"""Training steps over batches of one size: all calls are made once, and then only run."""

import torch
from torch import Tensor

from ghostexp.native.backward import Backward
from ghostexp.native.forward import Call, forward_calls
from ghostexp.native.plan import Plan
from ghostexp.native.program import Program, sizes
from ghostexp.native.state import State


class Run:
    """A forward pass over a batch, and the backward pass that follows it, again and again."""

    def __init__(self, plan: Plan, program: Program, images: int) -> None:
        self.images = images
        self._state = state = State(plan, program, images)
        self._forward, packed = forward_calls(state)
        self._grouped = state.outputs[plan.images].address
        self._feature_grads = torch.zeros_like(state.features)
        self._places = _places(plan)
        self._held = packed, *state.outputs.values(), *state.kept.values()
        self._backward = Backward(state, packed, self._feature_grads.data_ptr()).calls()

    @property
    def bytes(self) -> int:
        """Memory of all maps, of both passes."""
        return self._state.bytes

    @property
    def calls(self) -> list[Call]:
        """Calls of both passes, for timing."""
        return [*self._forward, *self._backward]

    def is_current(self) -> bool:
        """Whether threads, parameters and statistics are those that the calls name."""
        state = self._state
        return state.threads == torch.get_num_threads() and self._places == _places(state.plan)

    def forward(self, images: Tensor) -> Tensor:
        """Images [N, c, H, W] -> means of the last maps, [N, C]; moves running statistics."""
        state = self._state
        self._count_batch()
        state.program.library.group_images(
            images.data_ptr(), self._grouped, sizes(state.plan.images), *state.work
        )
        for call in self._forward:
            call()
        return state.features.clone()

    def backward(self, features: Tensor) -> list[Tensor]:
        """The gradients of the plan's parameters, from the gradient of the features, [N, C]."""
        self._feature_grads.copy_(features)
        for call in self._backward:
            call()
        parameters = self._state.plan.parameters
        parts = self._state.grads.clone().split([each.numel() for each in parameters])
        return [part.view(each.shape) for part, each in zip(parts, parameters, strict=True)]

    def _count_batch(self) -> None:
        norms = self._state.plan.norms
        tracked = [norm for norm in norms.values() if norm.track_running_stats]
        torch._foreach_add_([norm.num_batches_tracked for norm in tracked], 1)
        for maps, norm in norms.items():
            if norm.track_running_stats:  # momentum None is the plain average of all batches
                moved = norm.momentum or 1 / int(norm.num_batches_tracked)
                self._state.norms[maps].momentum = moved
        for norm in tracked:
            torch.autograd.graph.increment_version((norm.running_mean, norm.running_var))


def _places(plan: Plan) -> list[int]:
    """Where the tensors of a plan's layers lie: the calls hold these addresses."""
    statistics = [each for norm in plan.norms.values() for each in norm.buffers()]
    return [each.data_ptr() for each in (*plan.parameters, *statistics)]
