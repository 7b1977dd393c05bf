"""Batch normalisation that trains narrow channels_last maps fast on the CPU.

"Batch Normalization", Ioffe and Szegedy, ICML 2015, https://arxiv.org/abs/1502.03167. The numbers
are those of `nn.BatchNorm2d` up to rounding; only the time differs. fast_norm.cpp holds the kernels
and needs no header of torch, so that it compiles in about two seconds, on first use.
"""

import ctypes
from collections.abc import Callable
from functools import cache
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from ghostexp.layers.compiled import load_library

SOURCE = Path(__file__).with_name("fast_norm.cpp")
MIN_VALUES = 16_384  # below, the calls cost more than the kernels save
MAX_CHANNELS = 128  # above, the stock operator is as fast
C_NAMES = {torch.float32: "float", torch.bfloat16: "bfloat16"}


class FastBatchNorm2d(nn.BatchNorm2d):
    """`nn.BatchNorm2d`, [N, C, H, W] -> [N, C, H, W]: same state, semantics and statistics.

    Training uses the own kernels where `is_fast(inputs)` and parameters and statistics are float32
    on the CPU; everything else, evaluation and errors included, is the stock operator's. What the
    kernels computed is not differentiable twice.
    """

    def forward(self, inputs: Tensor) -> Tensor:
        if not (self.training and is_fast(inputs) and self._fits(inputs)):
            return super().forward(inputs)
        return _FastNorm.apply(inputs, self.weight, self.bias, *self._next_statistics(), self.eps)

    def _fits(self, inputs: Tensor) -> bool:
        state = (self.weight, self.bias, self.running_mean, self.running_var)
        return all(
            tensor is None
            or (
                tensor.dtype == torch.float32
                and tensor.device == inputs.device
                and tensor.shape == inputs.shape[1:2]
                and tensor.is_contiguous()
            )
            for tensor in state
        )

    def _next_statistics(self) -> tuple[Tensor | None, Tensor | None, float]:
        """Running mean and variance to update, and the share of this batch in them."""
        if not self.track_running_stats:
            return None, None, 0.0
        self.num_batches_tracked.add_(1)
        if self.momentum is None:  # the plain average of all batches so far
            return self.running_mean, self.running_var, 1 / int(self.num_batches_tracked)
        return self.running_mean, self.running_var, self.momentum


def is_fast(inputs: Tensor) -> bool:
    """Whether the kernels take `inputs`, [N, C, H, W].

    They take channels_last float32 or bfloat16 maps on the CPU, of at most MAX_CHANNELS channels
    and at least MIN_VALUES values; nothing under `torch.compile`, which fuses its own.
    """
    return (
        not torch.compiler.is_compiling()
        and type(inputs) is Tensor
        and inputs.device.type == "cpu"
        and inputs.dtype in C_NAMES
        and inputs.dim() == 4
        and inputs.numel() >= MIN_VALUES
        and inputs.shape[1] <= MAX_CHANNELS
        and inputs.is_contiguous(memory_format=torch.channels_last)
    )


def use_fast_norm(net: nn.Module) -> nn.Module:
    """Turn every `nn.BatchNorm2d` of `net` into a FastBatchNorm2d, in place; returns `net`.

    Parameters, buffers and hooks stay; subclasses of nn.BatchNorm2d are left alone. Raises
    ValueError where no C++ compiler is found.
    """
    _kernels()
    for module in net.modules():
        if type(module) is nn.BatchNorm2d:
            module.__class__ = FastBatchNorm2d
    return net


class _FastNorm(torch.autograd.Function):
    @staticmethod
    def forward(ctx, inputs, weight, bias, running_mean, running_var, momentum, eps):
        channels = inputs.shape[1]
        mean, inverse_std = torch.empty(2, channels).unbind()
        outputs = torch.empty_like(inputs)
        kernel, _ = _kernels()[inputs.dtype]
        kernel(
            *_pointers(inputs, outputs, weight, bias, mean, inverse_std, running_mean, running_var),
            momentum,
            eps,
            inputs.numel() // channels,
            channels,
            torch.get_num_threads(),
        )
        if running_mean is not None:
            torch.autograd.graph.increment_version((running_mean, running_var))
        ctx.save_for_backward(inputs, weight, mean, inverse_std)
        return outputs

    @staticmethod
    @once_differentiable
    def backward(ctx, grads):
        inputs, weight, mean, inverse_std = ctx.saved_tensors
        channels = inputs.shape[1]
        grads = grads.contiguous(memory_format=torch.channels_last)
        input_grads = torch.empty_like(inputs)
        weight_grad, bias_grad = torch.empty(2, channels).unbind()
        _, kernel = _kernels()[inputs.dtype]
        kernel(
            *_pointers(
                inputs, grads, input_grads, weight, mean, inverse_std, weight_grad, bias_grad
            ),
            inputs.numel() // channels,
            channels,
            torch.get_num_threads(),
        )
        if weight is None:
            weight_grad = bias_grad = None
        return input_grads, weight_grad, bias_grad, None, None, None, None


def _pointers(*tensors: Tensor | None) -> list[int | None]:
    return [None if tensor is None else tensor.data_ptr() for tensor in tensors]


@cache
def _kernels() -> dict[torch.dtype, tuple[Callable[..., None], Callable[..., None]]]:
    """Forward and backward kernel per dtype, compiled if they have not been yet."""
    library = load_library(SOURCE)
    pointers, sizes = [ctypes.c_void_p] * 8, [ctypes.c_int64] * 2 + [ctypes.c_int]
    kernels = {}
    for dtype, name in C_NAMES.items():
        forward, backward = library[f"forward_{name}"], library[f"backward_{name}"]
        forward.argtypes = [*pointers, ctypes.c_double, ctypes.c_double, *sizes]
        backward.argtypes = [*pointers, *sizes]
        forward.restype = backward.restype = None
        kernels[dtype] = forward, backward
    return kernels
