"""A network of this project as one compiled function of its images, in float32 on a CPU.

The CPU needs AVX2. Stock engines put channels into vectors, and the 8 to 64 channels of a
Ghost-ResNet leave such vectors half empty. Here a vector holds 16 images, or 8 without AVX-512; see
inference.cpp. The C++ is compiled by the compiler that torch.compile needs as well, so no further
package is needed, and the compiled library is kept.
"""

import ctypes

import torch
from torch import Tensor, nn
from torch.export import ExportedProgram

from ghostexp.deploy.native.program import Program, write_program
from ghostexp.deploy.native.read import read_plan
from ghostexp.kernels import INFERENCE
from ghostexp.kernels.binding import INT, LONG, POINTER, load_library
from ghostexp.kernels.compiler import machine_macros

FUNCTIONS = (("run", (POINTER, POINTER, LONG, POINTER, POINTER, INT)),)


def native(net: nn.Module, input_shape: tuple[int, int, int]) -> "NativeNet":
    """A compiled function that computes the same as `net`, which has to be in evaluation mode.

    `input_shape` is (channels, height, width). The weights are copied, so later changes of `net`
    have no effect on the function. ValueError if no kernel computes one of the layers, or if the
    machine or its compiler lacks something.
    """
    if "__AVX2__" not in machine_macros():
        raise ValueError("the native backend needs a CPU with AVX2 or AVX-512")
    plan = read_plan(_trace(net, input_shape), input_shape)
    return NativeNet(write_program(plan), tuple(input_shape), plan.logits.channels)


class NativeNet:
    """Callable: images [N, C, H, W] in float32 -> logits [N, classes], without gradients.

    It runs on torch.get_num_threads() threads and may be called from several threads at once. What
    a thread works in is kept for the next call.
    """

    def __init__(self, program: Program, input_shape: tuple[int, ...], num_classes: int) -> None:
        library = load_library(INFERENCE, FUNCTIONS, program.code)
        self._run = library.run
        self._lanes = ctypes.c_int.in_dll(library, "lanes").value
        self._weights = program.weights
        self._workspace_size = program.workspace * self._lanes
        self._free_workspaces: list[Tensor] = []
        self._input_shape = input_shape
        self._num_classes = num_classes

    def __call__(self, images: Tensor) -> Tensor:
        self._check(images)
        images = images.detach().contiguous()
        logits = torch.empty(len(images), self._num_classes)
        groups = -(-len(images) // self._lanes)
        threads = max(1, min(torch.get_num_threads(), groups))
        workspaces = [self._take_workspace() for _ in range(threads)]
        self._run(
            images.data_ptr(),
            logits.data_ptr(),
            len(images),
            self._weights.data_ptr(),
            (ctypes.c_void_p * threads)(*[space.data_ptr() for space in workspaces]),
            threads,
        )
        self._free_workspaces += workspaces
        return logits

    def _check(self, images: Tensor) -> None:
        place = images.dtype, images.device.type, images.layout
        shape = tuple(images.shape)
        if place != (torch.float32, "cpu", torch.strided) or shape[1:] != self._input_shape:
            expected = ", ".join(map(str, self._input_shape))
            raise ValueError(
                f"this network takes float32 images [N, {expected}] on the CPU, not"
                f" {images.dtype} {list(shape)} on {images.device}"
            )

    def _take_workspace(self) -> Tensor:
        """Memory of one thread, whose maps have borders of zeros."""
        try:
            return self._free_workspaces.pop()
        except IndexError:
            return torch.zeros(self._workspace_size)


def _trace(net: nn.Module, input_shape: tuple[int, int, int]) -> ExportedProgram:
    if any(module.training for module in net.modules()):
        raise ValueError("the native backend infers only: call eval() on the network first")
    for name, value in net.state_dict().items():
        if value.is_floating_point() and (value.dtype, value.device.type) != (torch.float32, "cpu"):
            raise ValueError(
                "the native backend takes networks in float32 on the CPU;"
                f" {name} is {value.dtype} on {value.device}"
            )
    try:
        with torch.no_grad():
            return torch.export.export(net, (torch.zeros(2, *input_shape),), strict=False)
    except RuntimeError as error:
        reason = str(error).strip().split("\n")[0]
        raise ValueError(f"the native backend cannot trace this network: {reason}") from error
