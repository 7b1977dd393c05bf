"""Batch normalisation that trains narrow channels_last maps fast on the CPU.

"Batch Normalization", Ioffe and Szegedy, ICML 2015, https://arxiv.org/abs/1502.03167. It gives
the numbers of `nn.BatchNorm2d` up to rounding; only the time differs.
"""

from functools import partial

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from ghostexp.kernels import BATCH_NORM
from ghostexp.kernels.binding import (
    C_NAMES,
    DOUBLE,
    INT,
    LONG,
    POINTER,
    addresses,
    for_maps,
    load_library,
    suits_kernels,
)
from ghostexp.kernels.decisions import MAX_VALUES, Decisions, time_both, typical_size

MIN_VALUES = 16_384  # below, the calls cost more than the kernels save
MAX_CHANNELS = 128  # above, the stock operator is as fast
FUNCTIONS = (
    *for_maps("forward", *[POINTER] * 8, DOUBLE, DOUBLE, LONG, LONG, INT),
    *for_maps("backward", *[POINTER] * 8, LONG, LONG, INT),
)


class FastBatchNorm2d(nn.BatchNorm2d):
    """`nn.BatchNorm2d`, [N, C, H, W] -> [N, C, H, W]: same state, semantics and statistics.

    Training uses our kernels under three conditions: `is_fast(inputs)`, parameters and statistics
    are float32 on the CPU, and `decisions` say that the kernels are faster for such maps. Without
    decisions they are assumed to be faster. In all other cases, in evaluation and for errors, it is
    the stock operator. Second derivatives of what the kernels computed do not exist.
    """

    decisions: Decisions | None = None
    is_ours = False  # whether our kernels computed the last outputs

    def forward(self, inputs: Tensor) -> Tensor:
        if not self.training or torch.compiler.is_compiling():
            return super().forward(inputs)
        self.is_ours = is_fast(inputs) and self._fits(inputs)
        if self.is_ours and self.decisions is not None:
            self.is_ours = _is_faster(inputs, self.decisions)
        if not self.is_ours:
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

    The maps must suit kernels, with at most MAX_CHANNELS channels and at least MIN_VALUES values.
    """
    return (
        suits_kernels(inputs) and inputs.numel() >= MIN_VALUES and inputs.shape[1] <= MAX_CHANNELS
    )


def use_fast_norm(net: nn.Module, decisions: Decisions | None = None) -> nn.Module:
    """Turn every `nn.BatchNorm2d` of `net` into a FastBatchNorm2d, in place; returns `net`.

    Parameters, buffers and hooks stay; subclasses of nn.BatchNorm2d are left alone. Raises
    ValueError where no C++ compiler is found.
    """
    load_library(BATCH_NORM, FUNCTIONS)
    for module in net.modules():
        if type(module) is nn.BatchNorm2d:
            module.__class__ = FastBatchNorm2d
            module.decisions = decisions
    return net


def _is_faster(inputs: Tensor, decisions: Decisions) -> bool:
    """Whether our kernels are faster for so many rows of so many channels."""
    channels = inputs.shape[1]
    rows = typical_size(inputs.numel() // channels)
    rows = min(rows, max(MAX_VALUES // channels, 1))
    kind = f"batch norm, {channels} channels, {rows} pixels, {C_NAMES[inputs.dtype]}"
    return decisions.is_ours(kind, partial(_time, channels, rows, inputs.dtype))


def _time(channels: int, rows: int, dtype: torch.dtype) -> tuple[float, float]:
    """Seconds of our kernels and of the stock operator."""
    maps = torch.linspace(-1, 1, rows * channels).to(dtype).view(rows, 1, 1, channels)
    weight, bias = torch.ones(channels), torch.zeros(channels)
    statistics = torch.zeros(channels), torch.ones(channels)

    def ours(inputs: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        return _FastNorm.apply(inputs, weight, bias, *statistics, 0.1, 1e-5)

    def torchs(inputs: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        return nn.functional.batch_norm(inputs, *statistics, weight, bias, training=True)

    return time_both(ours, torchs, maps.permute(0, 3, 1, 2), weight, bias)


class _FastNorm(torch.autograd.Function):
    @staticmethod
    def forward(ctx, inputs, weight, bias, running_mean, running_var, momentum, eps):
        channels = inputs.shape[1]
        mean, inverse_std = torch.empty(2, channels).unbind()
        outputs = torch.empty_like(inputs)
        run = getattr(load_library(BATCH_NORM, FUNCTIONS), f"forward_{C_NAMES[inputs.dtype]}")
        run(
            *addresses(inputs, outputs, weight, bias, mean, inverse_std, running_mean, running_var),
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
        run = getattr(load_library(BATCH_NORM, FUNCTIONS), f"backward_{C_NAMES[inputs.dtype]}")
        run(
            *addresses(
                inputs, grads, input_grads, weight, mean, inverse_std, weight_grad, bias_grad
            ),
            inputs.numel() // channels,
            channels,
            torch.get_num_threads(),
        )
        if weight is None:
            weight_grad = bias_grad = None
        return input_grads, weight_grad, bias_grad, None, None, None, None
