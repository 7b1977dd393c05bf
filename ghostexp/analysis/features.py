"""Feature maps of single layers; of Ghost modules the intrinsic maps, cheap kernels and ghosts."""

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from ghostexp.analysis.evaluating import evaluating
from ghostexp.layers.ghost import GhostModule


@dataclass(frozen=True)
class GhostMaps:
    """Maps of one Ghost module: `intrinsic` [N, m, H, W], `ghosts` [N, g, H, W] as it keeps them.

    `kernels` [g, d, d] are the cheap operation's. Ghost j is made of intrinsic map j // each.
    `before` [N, m * each, H, W] are all ghosts as they go into `activation`, which is an empty
    nn.Sequential where the cheap operation ends in none. `signs` [m * each] are -1 where the batch
    norm in front of the activation turns a map over, else 1.
    """

    intrinsic: Tensor
    ghosts: Tensor
    kernels: Tensor
    each: int
    before: Tensor
    activation: nn.Module
    signs: Tensor


def ghost_modules(net: nn.Module) -> dict[str, GhostModule]:
    """Ghost modules of `net` that make ghosts, by name."""
    return {
        name: module
        for name, module in net.named_modules()
        if isinstance(module, GhostModule) and module.ratio > 1
    }


def choose_layer(net: nn.Module, layer: str | None) -> str:
    """`layer`, or the first Ghost module for None; ValueError where it is not a Ghost module."""
    names = list(ghost_modules(net))
    if not names:
        raise ValueError("the network has no Ghost module with a ratio above 1 to look into")
    if layer is None:
        return names[0]
    if layer not in names:
        some = ", ".join([*names[:3], "..."] if len(names) > 4 else names)
        raise ValueError(
            f"layer {layer!r} is not one of the network's {len(names)} Ghost modules ({some})"
        )
    return layer


def layer_outputs(net: nn.Module, names: Iterable[str], images: Tensor) -> dict[str, Tensor]:
    """Outputs of the named modules for a batch, in eval mode; `net` stays as it is."""
    outputs: dict[str, Tensor] = {}

    def keep(name: str, maps: Tensor) -> None:
        outputs[name] = maps.clone()  # the next layer may work in place

    handles = [
        net.get_submodule(name).register_forward_hook(
            lambda _layer, _inputs, maps, name=name: keep(name, maps)
        )
        for name in names
    ]
    try:
        with evaluating(net):
            net(images)
    finally:
        for handle in handles:
            handle.remove()
    return outputs


def ghost_maps(net: nn.Module, layers: Iterable[str], images: Tensor) -> dict[str, GhostMaps]:
    """Maps of the named Ghost modules for a batch of normalised images."""
    modules = {layer: net.get_submodule(layer) for layer in layers}
    kernels = {layer: cheap_kernels(module) for layer, module in modules.items()}
    linear = {layer: _linear_layers(module.cheap_operation) for layer, module in modules.items()}
    names = []
    for layer, count in linear.items():
        halves = f"{layer}.primary_conv", f"{layer}.cheap_operation"
        names += [*halves, f"{layer}.cheap_operation.{count - 1}"]
    outputs = layer_outputs(net, names, images)
    found = {}
    for layer, module in modules.items():
        intrinsic = outputs[f"{layer}.primary_conv"].float()
        kept = module.out_channels - intrinsic.shape[1]  # the module cuts the tail
        before = outputs[f"{layer}.cheap_operation.{linear[layer] - 1}"].float()
        found[layer] = GhostMaps(
            intrinsic=intrinsic,
            ghosts=outputs[f"{layer}.cheap_operation"].float()[:, :kept],
            kernels=kernels[layer][:kept],
            each=module.ratio - 1,
            before=before,
            activation=module.cheap_operation[linear[layer] :],
            signs=_signs(module.cheap_operation[linear[layer] - 1], before.shape[1]),
        )
    return found


def _linear_layers(cheap_operation: nn.Sequential) -> int:
    """How many layers at the beginning are the convolution and a batch norm behind it."""
    has_norm = len(cheap_operation) > 1 and isinstance(cheap_operation[1], _BatchNorm)
    return 2 if has_norm else 1


def _signs(last: nn.Module, channels: int) -> Tensor:
    """Signs [channels] of a batch norm's scales; 1 where there are none."""
    if not isinstance(last, _BatchNorm) or last.weight is None:
        return torch.ones(channels)
    return last.weight.detach().sign().float()


def cheap_kernels(module: GhostModule) -> Tensor:
    """Kernels [m * (s - 1), d, d] of the cheap operation, on the CPU."""
    conv = module.cheap_operation[0]
    if not isinstance(conv, nn.Conv2d):
        raise ValueError(
            f"the cheap operation is a {type(conv).__name__}, not one convolution: fuse its"
            " branches first"
        )
    return conv.weight.detach()[:, 0].float().cpu()
