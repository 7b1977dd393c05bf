"""Which layers are faster: each Ghost module of a network beside the convolution that it replaces.

Both take turns in one process, on random inputs of the layer's real shape. Modules of the same
geometry are timed once. If the halves of a Ghost module end in batch norm and activation, the
convolution does so, too.
"""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from copy import deepcopy
from dataclasses import dataclass

import torch
from rich.table import Table
from torch import Tensor, nn

from ghostexp.analysis.benchmark import Timing, interleave, repeated
from ghostexp.analysis.complexity import count_macs
from ghostexp.analysis.features import ghost_modules, layer_outputs
from ghostexp.layers.ghost import GhostModule


@dataclass(frozen=True)
class LayerTiming:
    """Times of a Ghost module and of a dense convolution, for all layers of one geometry."""

    names: list[str]
    in_shape: tuple[int, ...]
    out_shape: tuple[int, ...]
    macs_ratio: float  # Ghost / dense
    ghost: Timing
    dense: Timing

    @property
    def time_ratio(self) -> float:
        """Time of the Ghost module over time of the convolution; below 1 the module is faster."""
        return self.ghost.median / self.dense.median

    @property
    def is_faster(self) -> bool:
        """Whether the Ghost module was faster in every round."""
        return all(ratio < 1 for ratio in self.ghost.ratios(self.dense))


@dataclass(frozen=True)
class _Geometry:
    """A Ghost module to time, with the shapes of its maps, batch axis excluded."""

    names: list[str]
    module: GhostModule
    in_shape: tuple[int, ...]
    out_shape: tuple[int, ...]


def time_layers(
    net: nn.Module,
    input_shape: Sequence[int],
    *,
    batch_size: int,
    rounds: int,
    step: bool = False,
    bf16: bool = False,
) -> list[LayerTiming]:
    """A timing for each geometry of the Ghost modules of `net`, which stays as it is.

    With `step` forward and backward in training mode are timed, else inference. The device is the
    one of the parameters, and maps are channels_last, as in our training. ValueError if `net` has
    no Ghost module.
    """
    geometries = _geometries(net, input_shape)
    if not geometries:
        raise ValueError("the network has no Ghost module to time: choose a converted network")
    device = next(net.parameters()).device
    autocast = torch.autocast(device.type, torch.bfloat16) if bf16 else nullcontext()
    timings = []
    for geometry in geometries:
        inputs = torch.randn(batch_size, *geometry.in_shape, device=device)
        inputs = inputs.to(memory_format=torch.channels_last)
        layers = {"ghost": deepcopy(geometry.module), "dense": dense_counterpart(geometry.module)}
        macs = {name: count_macs(layer, geometry.in_shape) for name, layer in layers.items()}
        candidates = {}
        for name, layer in layers.items():
            layer = layer.train(step).to(device, memory_format=torch.channels_last)
            call = _caller(layer, inputs, step, autocast)
            _check_shape(name, geometry, call().shape[1:])
            candidates[name] = repeated(call, device)
        shapes = (geometry.names, geometry.in_shape, geometry.out_shape)
        macs_ratio = macs["ghost"] / macs["dense"]
        timings.append(LayerTiming(*shapes, macs_ratio, *interleave(candidates, rounds=rounds)))
    return timings


def dense_counterpart(ghost: GhostModule) -> nn.Sequential:
    """The convolution that a Ghost module replaces, with the norm and activation of its halves."""
    primary = ghost.primary_conv[0]
    if not isinstance(primary, nn.Conv2d):
        raise ValueError(
            f"the primary convolution is a {type(primary).__name__}, not one convolution: fuse its"
            " branches first"
        )
    conv = nn.Conv2d(
        primary.in_channels,
        ghost.out_channels,
        primary.kernel_size,
        primary.stride,
        primary.padding,
        primary.dilation,
        bias=primary.bias is not None,
        padding_mode=primary.padding_mode,
    )
    tail = [
        type(layer)(ghost.out_channels)
        if isinstance(layer, nn.modules.batchnorm._BatchNorm)
        else deepcopy(layer)
        for layer in ghost.primary_conv[1:]
    ]
    return nn.Sequential(conv, *tail)


def faster_layers(timings: list[LayerTiming]) -> list[str]:
    """Names of the layers whose Ghost module was faster, for `convert_to_ghost(..., only=...)`."""
    return [name for timing in timings if timing.is_faster for name in timing.names]


def fill_table(table: Table, timings: list[LayerTiming]) -> None:
    """Add one row per geometry and the sum over all layers to a table of three columns."""
    table.columns[0].header, table.columns[1].header, table.columns[2].header = (
        "layer (and others like it)", "Ghost, ms", "fastest-slowest",
    )  # fmt: skip
    for name in ("dense, ms", "fastest-slowest", "macs ratio", "time ratio", "input", "output"):
        table.add_column(name)
    for timing in timings:
        others = f" (+{len(timing.names) - 1})" if len(timing.names) > 1 else ""
        ratio = f"{timing.time_ratio:.2f}"
        table.add_row(
            timing.names[0] + others,
            f"{timing.ghost.median * 1e3:.3f}",
            timing.ghost.spread,
            f"{timing.dense.median * 1e3:.3f}",
            timing.dense.spread,
            f"{timing.macs_ratio:.2f}",
            f"[green]{ratio}[/]" if timing.is_faster else ratio,
            "x".join(map(str, timing.in_shape)),
            "x".join(map(str, timing.out_shape)),
        )
    _add_sum(table, timings)


def _add_sum(table: Table, timings: list[LayerTiming]) -> None:
    ghost, dense = (
        sum(len(timing.names) * getattr(timing, kind).median for timing in timings)
        for kind in ("ghost", "dense")
    )
    table.add_section()
    table.add_row(
        "all layers", f"{ghost * 1e3:.3f}", "", f"{dense * 1e3:.3f}", "", "", f"{ghost / dense:.2f}"
    )


def _geometries(net: nn.Module, input_shape: Sequence[int]) -> list[_Geometry]:
    ghosts = ghost_modules(net)
    parameter = next(net.parameters())
    images = torch.zeros(1, *input_shape, device=parameter.device)
    in_shapes: dict[str, tuple[int, ...]] = {}

    def keep(name: str, inputs: Tensor) -> None:
        in_shapes[name] = tuple(inputs.shape[1:])

    handles = [
        module.register_forward_pre_hook(lambda _module, args, name=name: keep(name, args[0]))
        for name, module in ghosts.items()
    ]
    try:
        outputs = layer_outputs(net, ghosts, images)
    finally:
        for handle in handles:
            handle.remove()
    found: dict[tuple, _Geometry] = {}
    for name, module in ghosts.items():
        key = (repr(module), in_shapes[name])
        shape = tuple(outputs[name].shape[1:])
        found.setdefault(key, _Geometry([], module, in_shapes[name], shape)).names.append(name)
    return list(found.values())


def _caller(
    layer: nn.Module, inputs: Tensor, step: bool, autocast: AbstractContextManager
) -> Callable[[], Tensor]:
    def infer() -> Tensor:
        with torch.no_grad(), autocast:
            return layer(inputs)

    def train() -> Tensor:
        leaf = inputs.detach().requires_grad_()  # its gradient is what the layers before get
        with autocast:
            outputs = layer(leaf)
        outputs.backward(torch.ones_like(outputs))
        layer.zero_grad()
        return outputs.detach()

    return train if step else infer


def _check_shape(name: str, geometry: _Geometry, shape: torch.Size) -> None:
    if tuple(shape) != geometry.out_shape:
        raise ValueError(
            f"{geometry.names[0]}: the {name} layer gives {tuple(shape)}, the network has"
            f" {geometry.out_shape}"
        )
