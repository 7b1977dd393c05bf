"""Bare Ghost modules that train fast on narrow channels_last maps on the CPU.

The module is the GhostModule of layers/ghost.py (Han et al. 2020, section 3.1): the cheap operation
and the concatenation become one pass over the intrinsic maps, forward and backward, where torch
makes five passes. The numbers are the same up to rounding.
"""

import ctypes
from functools import partial

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from ghostexp.kernels import GHOST_MODULE
from ghostexp.kernels.binding import (
    C_NAMES,
    INT,
    LONG,
    POINTER,
    addresses,
    for_maps,
    load_library,
    suits_kernels,
)
from ghostexp.kernels.decisions import MAX_VALUES, Decisions, time_both, typical_size
from ghostexp.layers.ghost import GhostModule

FUNCTIONS = (
    *for_maps("forward", *[POINTER] * 3, LONG, LONG, LONG, INT),
    *for_maps("backward", *[POINTER] * 5, LONG, LONG, LONG, INT),
)


class FastGhostModule(GhostModule):
    """A bare GhostModule, [N, c, H, W] -> [N, n, H', W']: same state and semantics.

    Training uses our kernels under three conditions: they can read the intrinsic maps, the cheap
    kernels are float32, and `decisions` say that our kernels are faster for such maps. Without
    decisions they are assumed to be faster. In all other cases it uses the stock operators. Second
    derivatives of what our kernels computed do not exist.
    """

    decisions: Decisions | None = None
    is_ours = False  # whether our kernels computed the last outputs

    def forward(self, inputs: Tensor) -> Tensor:
        if not self.training or torch.compiler.is_compiling():
            return super().forward(inputs)
        intrinsic = self.primary_conv(inputs)
        weight = self.cheap_operation[0].weight
        self.is_ours = (
            suits_kernels(intrinsic) and weight.dtype == torch.float32 and weight.is_contiguous()
        )
        if self.is_ours and self.decisions is not None:
            self.is_ours = _is_faster(intrinsic, weight, self.out_channels, self.decisions)
        if self.is_ours:
            return _CheapConcat.apply(intrinsic, weight, self.out_channels)
        return self.add_ghosts(intrinsic)


def use_fast_ghosts(net: nn.Module, decisions: Decisions | None = None) -> nn.Module:
    """Turn every bare GhostModule of `net` that makes ghosts into a FastGhostModule, in place.

    Returns `net`; parameters and hooks stay. Raises ValueError where no C++ compiler is found.
    """
    for module in net.modules():
        if type(module) is GhostModule and _is_bare(module):
            module.__class__ = FastGhostModule
            module.decisions = decisions
            conv = module.cheap_operation[0]
            _library(conv.weight, conv.in_channels, module.out_channels)
    return net


def _is_bare(module: GhostModule) -> bool:
    """Whether each half is one convolution, and the cheap one makes ghosts without a bias."""
    if module.ratio == 1:
        return False
    halves = (module.primary_conv, module.cheap_operation)
    if any(len(half) != 1 or not isinstance(half[0], nn.Conv2d) for half in halves):
        return False
    primary, cheap = (half[0] for half in halves)
    return module.out_channels > primary.out_channels and cheap.bias is None


def _is_faster(intrinsic: Tensor, weight: Tensor, outputs: int, decisions: Decisions) -> bool:
    """Whether our kernels are faster for maps of about this size."""
    images, channels, height, width = map(typical_size, intrinsic.shape)
    channels = intrinsic.shape[1]
    images = min(images, max(MAX_VALUES // (outputs * height * width), 1))
    kind = (
        f"Ghost module, {channels} -> {outputs} maps, {tuple(weight.shape)},"
        f" {images} x {height} x {width}, {C_NAMES[intrinsic.dtype]}"
    )
    shape = images, channels, height, width
    return decisions.is_ours(
        kind, partial(_time, shape, tuple(weight.shape), outputs, intrinsic.dtype)
    )


def _time(
    shape: tuple[int, ...], weight_shape: tuple[int, ...], outputs: int, dtype: torch.dtype
) -> tuple[float, float]:
    """Seconds of our kernels and of the stock operators, which take weights in the maps' type."""
    images, channels, height, width = shape
    maps = torch.linspace(-1, 1, images * height * width * channels).to(dtype)
    maps = maps.view(images, height, width, channels).permute(0, 3, 1, 2)
    padding = weight_shape[-1] // 2

    def ours(intrinsic: Tensor, weight: Tensor) -> Tensor:
        return _CheapConcat.apply(intrinsic, weight, outputs)

    def torchs(intrinsic: Tensor, weight: Tensor) -> Tensor:
        ghosts = nn.functional.conv2d(intrinsic, weight.to(dtype), padding=padding, groups=channels)
        return torch.cat([intrinsic, ghosts[:, : outputs - channels]], dim=1)

    return time_both(ours, torchs, maps, torch.ones(weight_shape))


class _CheapConcat(torch.autograd.Function):
    @staticmethod
    def forward(ctx, intrinsic, weight, out_channels):
        images, channels, height, width = intrinsic.shape
        outputs = torch.empty(
            images,
            out_channels,
            height,
            width,
            dtype=intrinsic.dtype,
            memory_format=torch.channels_last,
        )
        library = _library(weight, channels, out_channels)
        run = getattr(library, f"forward_{C_NAMES[intrinsic.dtype]}")
        run(*addresses(intrinsic, weight, outputs), images, height, width, torch.get_num_threads())
        ctx.save_for_backward(intrinsic, weight)
        ctx.out_channels = out_channels
        return outputs

    @staticmethod
    @once_differentiable
    def backward(ctx, grads):
        intrinsic, weight = ctx.saved_tensors
        grads = grads.contiguous(memory_format=torch.channels_last)
        intrinsic_grads = torch.empty_like(intrinsic)
        weight_grads = torch.zeros_like(weight)  # surplus ghosts, cut away, have none
        images, channels, height, width = intrinsic.shape
        run = getattr(
            _library(weight, channels, ctx.out_channels), f"backward_{C_NAMES[intrinsic.dtype]}"
        )
        pointers = addresses(intrinsic, weight, grads, intrinsic_grads, weight_grads)
        run(*pointers, images, height, width, torch.get_num_threads())
        return intrinsic_grads, weight_grads, None


def _library(weight: Tensor, intrinsic: int, outputs: int) -> ctypes.CDLL:
    """Kernels for so many intrinsic maps and outputs, and for cheap kernels like `weight`."""
    return load_library(
        GHOST_MODULE,
        FUNCTIONS,
        INTRINSIC=intrinsic,
        OUTPUTS=outputs,
        PER_INTRINSIC=len(weight) // intrinsic,
        SIZE=weight.shape[-1],
    )
