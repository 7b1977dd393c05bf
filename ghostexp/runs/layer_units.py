"""The convolutions of a network as small networks of their own, so that an engine can time each.

An engine merges a convolution with the batch norm, the sum and the activation behind it, and does
so less often behind a Ghost module. A unit therefore holds all of these, as the network has them.
It ends in a mean over pixels, so that no time is spent on handing out maps.
"""

from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ghostexp.analysis.complexity import count_macs
from ghostexp.analysis.evaluating import evaluating
from ghostexp.layers.ghost import GhostModule
from ghostexp.models.conversion_plan import Step
from ghostexp.models.convert import plan_conversion
from ghostexp.models.data_flow import Flow
from ghostexp.models.trial_run import try_out

Shape = tuple[int, ...]


class Unit(nn.Module):
    """A layer and what follows it in the network, [N, c, H, W] -> [N, n]."""

    def __init__(
        self, layer: nn.Module, norm: nn.Module, shortcut: nn.Module | None, activation: nn.Module
    ) -> None:
        super().__init__()
        self.layer, self.norm, self.shortcut, self.activation = layer, norm, shortcut, activation
        self.pool = nn.AdaptiveAvgPool2d(1)

    def forward(self, inputs: Tensor) -> Tensor:
        maps = self.norm(self.layer(inputs))  # [N, n, H', W']
        if self.shortcut is not None:
            maps = maps + self.shortcut(inputs)
        return self.pool(self.activation(maps)).flatten(1)


@dataclass(frozen=True)
class Kind:
    """All convolutions of a network that are alike: their names, and one of them as a unit.

    `ratios` are those with which a Ghost module can take their place.
    """

    names: list[str]
    conv: nn.Conv2d
    in_shape: Shape  # without the batch axis
    out_shape: Shape
    flow: Flow
    ratios: list[int]

    def unit(self, ratio: int, cheap_kernel_size: int) -> Unit:
        """The unit with the convolution, ratio 1, or with the Ghost module in its place."""
        has_norm = self.flow.norm is not None
        return Unit(
            self._layer(ratio, cheap_kernel_size),
            nn.BatchNorm2d(self.conv.out_channels) if has_norm else nn.Identity(),
            self._shortcut() if self.flow.is_added else None,
            nn.Identity() if self.flow.activation is None else self.flow.activation(),
        ).eval()

    def macs(self, ratio: int, cheap_kernel_size: int) -> int:
        """Multiply-adds of one layer, with ratio 1 of the convolution."""
        return count_macs(self._layer(ratio, cheap_kernel_size), self.in_shape)

    def _layer(self, ratio: int, cheap_kernel_size: int) -> nn.Module:
        if ratio == 1:
            return deepcopy(self.conv)
        return GhostModule.from_conv(
            self.conv,
            ratio=ratio,
            cheap_kernel_size=cheap_kernel_size,
            bias=self.conv.bias is not None and self.flow.norm is None,
        )

    def _shortcut(self) -> nn.Module:
        """What makes maps that can be added: the inputs themselves where they have the shape."""
        if self.in_shape == self.out_shape:
            return nn.Identity()
        channels = self.in_shape[0], self.out_shape[0]
        return nn.Conv2d(*channels, 1, self.conv.stride)


def find_kinds(
    net: nn.Module,
    input_shape: tuple[int, int, int],
    *,
    ratios: Sequence[int],
    cheap_kernel_size: int,
    skip: Sequence[str],
) -> list[Kind]:
    """The convolutions of `net` that a conversion with one of the ratios would replace, by kind.

    ValueError if there is none, or if the trial run that shows what follows a layer fails.
    """
    side = input_shape[-1]
    steps: dict[str, Step] = {}
    possible: dict[str, list[int]] = {}
    for ratio in ratios:
        plan = plan_conversion(net, ratio, cheap_kernel_size, skip=skip, image_size=side)
        for step in plan.steps:
            if step.row.replaced:
                steps[step.row.name] = step
                possible.setdefault(step.row.name, []).append(ratio)
    if not steps:
        named = ", ".join(f"ratio {ratio}" for ratio in ratios)
        raise ValueError(f"{named} would convert no convolution of {type(net).__name__}")
    trial = try_out(net, side)
    if trial.failure is not None:
        raise ValueError(f"the network fails on images of {side} pixels: {trial.failure}")
    shapes = _shapes(net, {name: step.found.conv for name, step in steps.items()}, input_shape)
    kinds: dict[tuple, Kind] = {}
    for name, (in_shape, out_shape) in shapes.items():
        conv = steps[name].found.conv
        flow, can = trial.flows[conv], possible[name]
        tail = flow.norm is not None, flow.is_added, flow.activation
        key = (repr(conv), in_shape, tail, tuple(can))
        if key not in kinds:
            kinds[key] = Kind([], conv, in_shape, out_shape, flow, can)
        kinds[key].names.append(name)
    return list(kinds.values())


@torch.no_grad()
def _shapes(
    net: nn.Module, convs: dict[str, nn.Conv2d], input_shape: Shape
) -> dict[str, tuple[Shape, Shape]]:
    """Shapes of the inputs and outputs of the convolutions in their first call, by name."""
    shapes: dict[str, tuple[Shape, Shape]] = {}

    def keep(name: str, inputs: Tensor, outputs: Tensor) -> None:
        shapes.setdefault(name, (tuple(inputs.shape[1:]), tuple(outputs.shape[1:])))

    handles = [
        conv.register_forward_hook(lambda _, args, out, name=name: keep(name, args[0], out))
        for name, conv in convs.items()
    ]
    try:
        with evaluating(net):
            net(torch.zeros(1, *input_shape))
    finally:
        for handle in handles:
            handle.remove()
    return shapes
