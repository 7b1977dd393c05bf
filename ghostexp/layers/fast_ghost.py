"""Bare Ghost modules that train fast on narrow channels_last maps on the CPU.

The module is that of layers/ghost.py (Han et al. 2020, section 3.1): the cheap operation and the
concatenation become one pass over the intrinsic maps, forward and backward, where torch makes five
of them. The numbers are the same up to rounding. fast_ghost.cpp holds the kernels.
"""

import ctypes
from collections.abc import Callable
from functools import cache
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from ghostexp.layers.compiled import load_library
from ghostexp.layers.ghost import GhostModule

SOURCE = Path(__file__).with_name("fast_ghost.cpp")
C_NAMES = {torch.float32: "float", torch.bfloat16: "bfloat16"}


class FastGhostModule(GhostModule):
    """A bare GhostModule, [N, c, H, W] -> [N, n, H', W']: same state and semantics.

    Training uses the own kernels where `is_fast(intrinsic)` and the cheap kernels are float32;
    everything else is the stock operators'. What the kernels computed is not differentiable twice.
    """

    def forward(self, inputs: Tensor) -> Tensor:
        if not self.training:
            return super().forward(inputs)
        intrinsic = self.primary_conv(inputs)
        weight = self.cheap_operation[0].weight
        if is_fast(intrinsic) and weight.dtype == torch.float32 and weight.is_contiguous():
            return _CheapConcat.apply(intrinsic, weight, self.out_channels)
        return self.add_ghosts(intrinsic)


def is_fast(intrinsic: Tensor) -> bool:
    """Whether the kernels take the maps [N, m, H, W]: channels_last, on the CPU, not compiled."""
    return (
        not torch.compiler.is_compiling()
        and type(intrinsic) is Tensor
        and intrinsic.device.type == "cpu"
        and intrinsic.dtype in C_NAMES
        and intrinsic.numel() > 0
        and intrinsic.is_contiguous(memory_format=torch.channels_last)
    )


def use_fast_ghosts(net: nn.Module) -> nn.Module:
    """Turn every bare GhostModule of `net` that makes ghosts into a FastGhostModule, in place.

    Returns `net`; parameters and hooks stay. Raises ValueError where no C++ compiler is found.
    """
    for module in net.modules():
        if type(module) is GhostModule and _is_bare(module):
            module.__class__ = FastGhostModule
            conv = module.cheap_operation[0]
            _kernels(*_shape(conv.weight, conv.in_channels, module.out_channels))
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


class _CheapConcat(torch.autograd.Function):
    @staticmethod
    def forward(ctx, intrinsic, weight, out_channels):
        images, _, height, width = intrinsic.shape
        outputs = torch.empty(
            images,
            out_channels,
            height,
            width,
            dtype=intrinsic.dtype,
            memory_format=torch.channels_last,
        )
        kernel, _ = _kernels(*_shape(weight, intrinsic.shape[1], out_channels))[intrinsic.dtype]
        pointers = _pointers(intrinsic, weight, outputs)
        kernel(*pointers, images, height, width, torch.get_num_threads())
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
        _, kernel = _kernels(*_shape(weight, channels, ctx.out_channels))[intrinsic.dtype]
        pointers = _pointers(intrinsic, weight, grads, intrinsic_grads, weight_grads)
        kernel(*pointers, images, height, width, torch.get_num_threads())
        return intrinsic_grads, weight_grads, None


def _pointers(*tensors: Tensor) -> list[int]:
    return [tensor.data_ptr() for tensor in tensors]


def _shape(weight: Tensor, intrinsic: int, outputs: int) -> tuple[int, int, int, int]:
    """Intrinsic and output maps of a module, ghosts that an intrinsic map makes, kernel's side."""
    return intrinsic, outputs, len(weight) // intrinsic, weight.shape[-1]


@cache
def _kernels(
    intrinsic: int, outputs: int, per_intrinsic: int, size: int
) -> dict[torch.dtype, tuple[Callable[..., None], Callable[..., None]]]:
    """Forward and backward kernel per dtype, compiled if they have not been yet."""
    library = load_library(
        SOURCE, INTRINSIC=intrinsic, OUTPUTS=outputs, PER_INTRINSIC=per_intrinsic, SIZE=size
    )
    sizes = [ctypes.c_int64] * 3 + [ctypes.c_int]
    kernels = {}
    for dtype, name in C_NAMES.items():
        forward, backward = library[f"forward_{name}"], library[f"backward_{name}"]
        forward.argtypes = [ctypes.c_void_p] * 3 + sizes
        backward.argtypes = [ctypes.c_void_p] * 5 + sizes
        forward.restype = backward.restype = None
        kernels[dtype] = forward, backward
    return kernels
