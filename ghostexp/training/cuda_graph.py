"""A network whose training passes a CUDA graph replays.

A GPU finishes the small kernels of a CIFAR network faster than Python starts them. A CUDA graph
starts all kernels of a pass by one call. `torch.cuda.make_graphed_callables` makes the graphs:
https://docs.pytorch.org/docs/stable/notes/cuda.html#cuda-graphs. The state dict stays the same.
"""

import inspect
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from weakref import ref

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.func import functional_call


class CudaGraph:
    """Lets CUDA graphs replay the forward and backward passes of a network's training.

    A machine without an NVIDIA GPU is a ValueError when this is made, before any data loads.
    """

    def __init__(self) -> None:
        if not torch.cuda.is_available():
            raise ValueError(
                "a CUDA graph needs an NVIDIA GPU, and torch finds none: take callbacks=default"
            )

    def __call__(self, net: nn.Module, folder: Path | None = None) -> nn.Module:
        """Change the forward of `net` in place and return it; nothing is kept in `folder`.

        ValueError if it takes more than images, as detectors do.
        """
        if len(inspect.signature(net.forward).parameters) != 1:
            raise ValueError(
                "a CUDA graph is for networks that take images alone, and"
                f" {type(net).__name__} takes more: take callbacks=default"
            )
        net.forward = GraphedForward(net)
        return net

    def describe(self, net: nn.Module) -> str:
        """Which passes are replayed, in words."""
        if net.forward.last is None:
            return "no CUDA graph is made: that takes one process that trains on an NVIDIA GPU"
        batch = "x".join(map(str, net.forward.last[0]))
        return f"CUDA graphs replay forward and backward passes, for batches of {batch}"


class GraphedForward:
    """The forward function of a network: images [N, C, H, W] -> one tensor.

    The second of two successive training batches with the same shape and precision is recorded, and
    its graph is replayed from then on. A batch of another shape, such as the last of an epoch, is
    computed as usual. So is evaluation, a run of several processes, and a forward pass before the
    backward pass of the last replay. The tensor that a replay returns is overwritten by the next
    replay. A copy, or what a pickle holds, starts anew.
    """

    def __init__(self, net: nn.Module) -> None:
        self.net = net
        self.eager = _Eager(net)
        self._forget()

    def __call__(self, images: Tensor) -> Any:
        if not self._is_step(images):
            return self.eager.forward(images)
        kind = _kind(images)
        if kind != self.recorded:
            is_second, self.last = kind == self.last, kind
            if not is_second:
                return self.eager.forward(images)
            self._record(images)
        if self.under_way() is not None:
            return self.eager.forward(images)
        _keep_gradients(self.net)
        outputs = self.replay(images, *self.net.parameters())
        self.under_way = ref(outputs.grad_fn)
        outputs.register_hook(self._goes_backward)
        return outputs

    def __getstate__(self) -> dict[str, Any]:
        return {"net": self.net}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(state["net"])

    def _forget(self) -> None:
        self.last: tuple[Any, ...] | None = None  # the kind of the batch before
        self.recorded: tuple[Any, ...] | None = None
        self.replay: Callable[..., Tensor] | None = None
        self.under_way: Callable[[], Any] = _nothing  # what waits for its backward pass

    def _is_step(self, images: Tensor) -> bool:
        is_plain = images.is_cuda and not images.requires_grad
        is_alone = not (dist.is_available() and dist.is_initialized())
        return (
            is_plain
            and is_alone
            and self.net.training
            and torch.is_grad_enabled()
            and not torch.compiler.is_compiling()
        )

    def _record(self, images: Tensor) -> None:
        """Record the passes of `images`; buffers and random numbers are as before.

        The graph reads the parameters by other tensors in the same memory. The parameters
        themselves may belong to a backward pass on the default stream, which cannot be recorded.
        """
        self._forget()  # the memory of the old graph is free before the new one takes some
        names = [name for name, _ in self.eager.named_parameters()]

        def computed(images: Tensor, *parameters: Tensor) -> Tensor:
            return functional_call(self.eager, dict(zip(names, parameters, strict=True)), images)

        inputs = images.clone(), *map(_same_memory, self.net.parameters())
        with _nothing_changed(self.net, images.device), _recording(self.net):
            self.replay = torch.cuda.make_graphed_callables(
                computed, inputs, allow_unused_input=True
            )
        self.last = self.recorded = _kind(images)

    def _goes_backward(self, _: Tensor) -> None:
        self.under_way = _nothing


class _Eager(nn.Module):
    """The network with the forward function of its class."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net

    def forward(self, images: Tensor) -> Any:
        return type(self.net).forward(self.net, images)


def _nothing() -> None:
    return None


def _kind(images: Tensor) -> tuple[Any, ...]:
    """What a graph is recorded for: shape, layout and precision."""
    is_mixed = torch.is_autocast_enabled("cuda")
    precision = torch.get_autocast_dtype("cuda") if is_mixed else images.dtype
    return images.shape, images.stride(), precision


def _keep_gradients(net: nn.Module) -> None:
    """Copy the gradients to which the next ones are added out of the memory of the graph.

    Autograd takes the gradients of a replay without a copy, and the next replay overwrites them.
    """
    summed = [each for each in net.parameters() if each.grad is not None]
    if summed:
        copies = torch._foreach_mul([each.grad for each in summed], 1.0)  # few kernels for all
        for each, copy in zip(summed, copies, strict=True):
            each.grad = copy


def _same_memory(parameter: nn.Parameter) -> Tensor:
    return parameter.detach().requires_grad_(parameter.requires_grad)


@contextmanager
def _nothing_changed(net: nn.Module, device: torch.device) -> Iterator[None]:
    """What is computed inside changes neither buffers of `net` nor the random numbers after it."""
    buffers = list(net.buffers())
    before = [each.clone() for each in buffers]
    drawn = torch.cuda.get_rng_state(device)
    yield
    torch.cuda.set_rng_state(drawn, device)
    for buffer, value in zip(buffers, before, strict=True):
        buffer.copy_(value)


@contextmanager
def _recording(net: nn.Module) -> Iterator[None]:
    """The present mixed precision without its cache of weights, which would not be replayed.

    RuntimeError with one sentence where `net` does what a graph cannot hold.
    """
    mixed = torch.autocast(
        "cuda",
        dtype=torch.get_autocast_dtype("cuda"),
        enabled=torch.is_autocast_enabled("cuda"),
        cache_enabled=False,
    )
    with warnings.catch_warnings(), mixed:
        # torch below 2.15 warms up on another stream than it records, and then says so
        warnings.filterwarnings("ignore", "The AccumulateGrad node's stream", UserWarning)
        try:
            yield
        except RuntimeError as error:
            raise RuntimeError(
                f"{type(net).__name__} cannot be recorded as a CUDA graph, which holds kernels"
                f" alone: take callbacks=default ({error})"
            ) from error
