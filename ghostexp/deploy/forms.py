"""The forms in which a network is deployed: eager, fused, bf16, compiled, engines, int8, native.

A form takes a network, inputs and a number of threads. It makes a call without arguments, which can
be timed. Bringing the inputs into the layout and dtype of the form is not part of the call.
"""

from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass
from functools import cached_property, partial

import torch
from torch import Tensor, nn

from ghostexp.analysis.complexity import count_macs, count_params
from ghostexp.deploy.engines import onnx_runtime, openvino_model
from ghostexp.deploy.export import Form, to_onnx
from ghostexp.deploy.fuse import fuse
from ghostexp.deploy.native import native
from ghostexp.deploy.quantize import quantize_plainly

CALIBRATION = 16  # random images
# how far the logits may differ from the eager network's, as a share of their size
EXACT = 1e-3  # in float32
REDUCED = 0.5  # in bf16 and int8 with random weights; another network differs by 1 or more

Call = Callable[[], Tensor]


@dataclass(frozen=True)
class Subject:
    """A network to time; `reference` names the network that it is compared with, perhaps itself."""

    name: str
    net: nn.Module
    input_shape: tuple[int, ...]
    reference: str


class Deployable:
    """A subject in eval mode, and what its forms share: each part is made when it is first used."""

    def __init__(self, subject: Subject) -> None:
        self.subject = subject
        self.eager = subject.net.eval().requires_grad_(False)
        self.params = count_params(self.eager)
        self.macs = count_macs(self.eager, subject.input_shape)

    @cached_property
    def fused(self) -> nn.Module:
        return fuse(self.eager)

    @cached_property
    def onnx(self) -> bytes:
        return to_onnx(self.fused, self.images(2), Form("onnx", dynamic_batch=True))

    @cached_property
    def int8(self) -> bytes:
        return quantize_plainly(self.onnx, self.images(CALIBRATION))

    def images(self, batch_size: int) -> Tensor:
        """Noise [N, C, H, W], the same for every subject of this input shape."""
        generator = torch.Generator().manual_seed(0)
        return torch.randn(batch_size, *self.subject.input_shape, generator=generator)


def _eager(net: Deployable, images: Tensor, threads: int) -> Call:
    return partial(net.eager, images)


def _channels_last(net: Deployable, images: Tensor, threads: int) -> Call:
    return partial(*_in_channels_last(net.eager, images))


def _fused(net: Deployable, images: Tensor, threads: int) -> Call:
    return partial(net.fused, images)


def _fused_channels_last(net: Deployable, images: Tensor, threads: int) -> Call:
    return partial(*_in_channels_last(net.fused, images))


def _bf16(net: Deployable, images: Tensor, threads: int) -> Call:
    reduced, images = _in_channels_last(net.fused, images)
    return partial(reduced.bfloat16(), images.bfloat16())


def _compiled(net: Deployable, images: Tensor, threads: int) -> Call:
    network, images = _in_channels_last(net.fused, images)
    return partial(torch.compile(network, dynamic=False), images)


def _onnx_runtime(net: Deployable, images: Tensor, threads: int) -> Call:
    return partial(onnx_runtime(net.onnx, threads), images)


def _onnx_runtime_int8(net: Deployable, images: Tensor, threads: int) -> Call:
    return partial(onnx_runtime(net.int8, threads), images)


def _openvino(net: Deployable, images: Tensor, threads: int) -> Call:
    shape = tuple(images.shape)
    return partial(openvino_model(net.onnx, "fp32", shape=shape, threads=threads), images)


def _openvino_bf16(net: Deployable, images: Tensor, threads: int) -> Call:
    shape = tuple(images.shape)
    return partial(openvino_model(net.onnx, "bf16", shape=shape, threads=threads), images)


def _openvino_int8(net: Deployable, images: Tensor, threads: int) -> Call:
    shape = tuple(images.shape)
    return partial(openvino_model(net.int8, "int8", shape=shape, threads=threads), images)


def _native(net: Deployable, images: Tensor, threads: int) -> Call:
    return partial(native(net.eager, net.subject.input_shape), images)


def _in_channels_last(net: nn.Module, images: Tensor) -> tuple[nn.Module, Tensor]:
    """Copies of both in memory format channels_last."""
    layout = torch.channels_last
    return deepcopy(net).to(memory_format=layout), images.contiguous(memory_format=layout)


FORMS: dict[str, tuple[Callable[[Deployable, Tensor, int], Call], float]] = {
    # the function that makes the form, and how far its logits may differ from the eager network's
    "eager": (_eager, EXACT),
    "channels_last": (_channels_last, EXACT),
    "fused": (_fused, EXACT),
    "fused_channels_last": (_fused_channels_last, EXACT),
    "bf16": (_bf16, REDUCED),  # fused and channels_last
    "compile": (_compiled, EXACT),
    "native": (_native, EXACT),
    "onnxruntime": (_onnx_runtime, EXACT),
    "openvino": (_openvino, EXACT),
    "openvino_bf16": (_openvino_bf16, REDUCED),
    "onnxruntime_int8": (_onnx_runtime_int8, REDUCED),
    "openvino_int8": (_openvino_int8, REDUCED),
}
