"""A network whose training steps our kernels compute as one function of images and parameters.

Loss, optimizer, schedules and checkpoints stay torch's, and so does what lies behind the mean
pooling of the last maps. Evaluation is torch's. The state dict is the stock network's.
"""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from ghostexp.kernels.compiler import machine_macros, multiplies_bf16
from ghostexp.native.plan import Plan
from ghostexp.native.program import Program
from ghostexp.native.read import read_step
from ghostexp.native.run import Run

TRIAL_SIDE = 32  # pixels of the images with which a network is checked before it is trained


class NativeStep:
    """Lets our kernels compute the training steps of a network.

    They compute in float32. Where a run's precision is bf16 and the CPU multiplies bfloat16, maps
    are stored in bfloat16 and convolutions multiply it, and all sums are float32. A missing C++
    compiler is a ValueError when this is made, before any data loads.
    """

    def __init__(self) -> None:
        if not {"__AVX2__", "__FMA__"} <= set(machine_macros().split()):
            raise ValueError("the native step needs a CPU with AVX2 or AVX-512")

    def __call__(self, net: nn.Module, folder: Path | None = None) -> nn.Module:
        """Change the forward of `net` in place and return it; nothing is kept in `folder`.

        ValueError if no kernel computes one of the layers.
        """
        convs = [each for each in net.modules() if isinstance(each, nn.Conv2d)]
        if not convs:
            raise ValueError("the native step is for networks with convolutions; this one has none")
        read_step(net, (convs[0].in_channels, TRIAL_SIDE, TRIAL_SIDE))
        net.forward = NativeForward(net)
        return net

    def describe(self, net: nn.Module) -> str:
        """What our kernels compute, in words."""
        plan = net.forward.plan
        if plan is None:
            return "torch's operators compute the training steps, not our kernels"
        return (
            f"our kernels compute the training steps of {len(plan.convs)} convolutions and"
            f" {len(plan.norms)} batch norms in {'bfloat16' if net.forward.is_bf16 else 'float32'}"
        )


class NativeForward:
    """The forward function of a network: images [N, c, H, W] -> what the network returns.

    Our kernels compute it where it is a training step: with gradients, with all batch norms in
    training mode, and with images and parameters in float32 on the CPU. Else it is the network's
    own forward. A copy, or what a pickle holds, is prepared anew.
    """

    def __init__(self, net: nn.Module) -> None:
        self.net = net
        self.prepared: tuple[torch.Size, bool] | None = None  # shape of images, and bfloat16
        self.plan: Plan | None = None

    def __call__(self, images: Tensor) -> Any:
        if not self._is_step(images):
            return type(self.net).forward(self.net, images)
        wanted = images.shape[1:], _is_bf16()
        if wanted != self.prepared:
            self._prepare(*wanted)
        if not self._fits():
            return type(self.net).forward(self.net, images)
        _check_batch(self.plan, len(images))
        if self.program is None:
            self.program = Program(self.plan, self.is_bf16)
        features = _Features.apply(self, images, *self.parameters)
        return self.rest(features[:, :, None, None])

    def __getstate__(self) -> dict[str, Any]:
        return {"net": self.net, "prepared": None, "plan": None}

    @property
    def is_bf16(self) -> bool:
        """Whether the last step stored maps in bfloat16."""
        return self.prepared is not None and self.prepared[1]

    @property
    def bytes(self) -> int:
        """Memory of all maps of steps that are not under way."""
        return sum(run.bytes for run in self.free_runs)

    def take_run(self, images: int) -> Run:
        """A run over so many images that no other step uses; `free_runs` gets it back."""
        self.free_runs[:] = [run for run in self.free_runs if run.is_current()]
        for run in self.free_runs:
            if run.images == images:
                self.free_runs.remove(run)
                return run
        return Run(self.plan, self.program, images)

    def _prepare(self, shape: torch.Size, bf16: bool) -> None:
        self.plan, self.rest = read_step(self.net, tuple(shape))
        self.program: Program | None = None
        self.free_runs: list[Run] = []
        self.parameters = self.plan.parameters
        self.prepared = shape, bf16

    def _is_step(self, images: Tensor) -> bool:
        is_float = images.dtype == torch.float32 and images.device.type == "cpu"
        is_plain = is_float and images.dim() == 4 and not images.requires_grad
        gradients = torch.is_grad_enabled() and not torch.compiler.is_compiling()
        return self.net.training and is_plain and gradients

    def _fits(self) -> bool:
        """Whether kernels may read the parameters, and every batch norm is in training mode."""
        norms = self.plan.norms.values()
        return all(norm.training for norm in norms) and all(
            each.dtype == torch.float32 and each.device.type == "cpu" for each in self.parameters
        )


def _is_bf16() -> bool:
    """Whether a step computes in bfloat16: torch would, and the CPU has an instruction for it."""
    is_wanted = (
        torch.is_autocast_enabled("cpu") and torch.get_autocast_dtype("cpu") == torch.bfloat16
    )
    return is_wanted and multiplies_bf16()


def _check_batch(plan: Plan, images: int) -> None:
    """ValueError for a batch that torch refuses as well."""
    for maps in plan.norms:
        if images * maps.pixels == 1:
            raise ValueError(
                "Expected more than 1 value per channel when training: one image of one pixel has"
                " no variance"
            )


class _Lease:
    """A run in use, from its forward pass until the graph of the step is gone."""

    def __init__(self, native: NativeForward, images: int) -> None:
        self.run: Run | None = native.take_run(images)
        self._free = native.free_runs

    def __del__(self) -> None:
        self.end()

    def end(self) -> None:
        """Give the run back: its maps may be overwritten."""
        if self.run is not None:
            self._free.append(self.run)
        self.run = None


class _Features(torch.autograd.Function):
    @staticmethod
    def forward(ctx, native: NativeForward, images: Tensor, *parameters: Tensor) -> Tensor:
        ctx.lease = _Lease(native, len(images))
        return ctx.lease.run.forward(images.contiguous())

    @staticmethod
    @once_differentiable
    def backward(ctx, grads: Tensor):
        if ctx.lease.run is None:
            raise RuntimeError("a native step goes backward once: its maps are free by then")
        found = ctx.lease.run.backward(grads)
        ctx.lease.end()
        wanted = zip(found, ctx.needs_input_grad[2:], strict=True)
        return None, None, *[grad if is_wanted else None for grad, is_wanted in wanted]
