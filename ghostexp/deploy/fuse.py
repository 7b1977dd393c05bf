"""Batch norms folded into the convolutions before them: the same network in eval mode, without any.

In eval mode a batch norm is y = scale * x + shift for each channel, with scale = weight / sqrt(var
+ eps) and shift = bias - mean * scale. Behind a convolution it is another weight and bias:
scale * (w * u + b) + shift = (scale w) * u + (scale b + shift).

Behind a bare Ghost module one batch norm spans the intrinsic maps x and their ghosts c * x, with c
the depthwise kernel. The ghosts' part folds into c. The intrinsic part y = scale * x + shift cannot
fold into the primary convolution, because the cheap operation reads x. From y it would have to
compute (c / scale) * (y - shift), which does not exist where a scale is 0; and c pads x with zeros,
which is to pad y with shift, another value for each channel, where a convolution pads with zeros.
Exact for every scale, shift and border is to leave x alone and apply scale and shift to the
intrinsic maps on their way out: in one pass, over half of the maps at ratio 2 instead of all. In an
exported file that pass is a depthwise 1x1 convolution, which engines keep in their own layout and
in int8: a product and a sum instead made ONNX Runtime's int8 half as fast.
"""

import inspect
import logging
from collections import Counter

import torch
from torch import Tensor, fx, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torchvision.ops import FrozenBatchNorm2d

from ghostexp.layers.fast_ghost import FastGhostModule
from ghostexp.layers.fast_norm import FastBatchNorm2d
from ghostexp.layers.ghost import GhostModule
from ghostexp.layers.rep_ghost import fuse_branches

log = logging.getLogger(__name__)

GHOSTS = (GhostModule, FastGhostModule)
CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
PLAIN_NORMS = (
    *(nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.SyncBatchNorm),
    *(FastBatchNorm2d, FrozenBatchNorm2d),
)
Affine = tuple[Tensor, Tensor]  # scale and shift, float64, one value a channel


class FoldedGhost(nn.Module):
    """Bare Ghost module and the batch norm behind it, [N, c, H, W] -> [N, n, H', W'].

    All three parts are one convolution; the cheap operation holds the ghosts' part of the batch
    norm, the depthwise 1x1 `norm` that of the intrinsic maps.
    """

    def __init__(self, ghost: GhostModule, affine: Affine) -> None:
        super().__init__()
        self.out_channels = ghost.out_channels
        self.primary_conv = ghost.primary_conv[0]
        self.cheap_operation = ghost.cheap_operation[0]
        intrinsic, made = self.primary_conv.out_channels, self.cheap_operation.out_channels
        scale, shift = affine
        self.norm = _depthwise_affine(
            scale[:intrinsic], shift[:intrinsic], like=self.primary_conv.weight
        )
        surplus = intrinsic + made - ghost.out_channels  # ceil made them; they are cut again
        _scale_conv(
            self.cheap_operation,
            (
                torch.cat([scale[intrinsic:], scale.new_ones(surplus)]),
                torch.cat([shift[intrinsic:], shift.new_zeros(surplus)]),
            ),
        )

    def forward(self, inputs: Tensor) -> Tensor:
        intrinsic = self.primary_conv(inputs)  # [N, m, H', W']
        kept = self.cheap_operation(intrinsic)[:, : self.out_channels - intrinsic.shape[1]]
        return torch.cat([self._normalise(intrinsic), kept], dim=1)

    def _normalise(self, intrinsic: Tensor) -> Tensor:
        if intrinsic.dtype != torch.float32 or torch.compiler.is_exporting():
            return self.norm(intrinsic)
        # torch's own depthwise convolution takes twice as long for one image in float32
        return torch.addcmul(self.norm.bias[:, None, None], self.norm.weight[:, 0], intrinsic)


def fuse(net: nn.Module) -> nn.Module:
    """A copy of `net` in eval mode, without batch norms and branches; equal up to rounding.

    ValueError, naming it and the reason, where a batch norm cannot be folded. A batch norm and its
    convolution must be children of one module, whose forward torch.fx can follow; of the network
    around them nothing is asked.
    """
    fused = fuse_branches(net).eval()
    before = batch_norms(fused)
    places = Counter(child for parent in fused.modules() for child in parent._modules.values())
    reasons: dict[nn.Module, str] = {}
    for parent in list(fused.modules()):
        own = [child for child in parent.children() if _is_norm(child)]
        if own and not _is_norm(parent):
            reasons |= _fold_children(parent, own, places)
    left = batch_norms(fused)
    if left:
        name, norm = next(iter(left.items()))
        raise ValueError(
            f"{len(left)} of {len(before)} batch norms cannot be folded, {name or 'the network'}"
            f" first: {reasons.get(norm, 'no module holds it beside a convolution')}"
        )
    log.info("%d of %d batch norms folded", len(before), len(before))
    return fused.eval()  # the new modules, too


def batch_norms(net: nn.Module) -> dict[str, nn.Module]:
    """Every batch norm of `net` by its name."""
    return {name: module for name, module in net.named_modules() if _is_norm(module)}


def _is_norm(module: nn.Module | None) -> bool:
    return isinstance(module, _BatchNorm | FrozenBatchNorm2d)


def _fold_children(
    parent: nn.Module, norms: list[nn.Module], places: Counter[nn.Module]
) -> dict[nn.Module, str]:
    """Fold the batch norms among a module's children; the reason for each that is left."""
    try:
        graph = _OneLevel().trace(parent, _defaults(parent) or None)
    except Exception as error:  # whatever a forward does with stand-ins for tensors
        reason = f"torch.fx cannot follow its {type(parent).__name__}: {error}"
        return dict.fromkeys(norms, reason)
    calls = [node for node in graph.nodes if node.op == "call_module"]
    times = Counter(node.target for node in calls)
    reasons = dict.fromkeys(norms, f"its {type(parent).__name__} does not call it")
    for node in calls:
        norm = parent.get_submodule(node.target)
        if norm not in reasons:
            continue
        source = node.args[0] if node.args else None
        reason = _obstacle(parent, norm, node, source, times, places)
        if reason is None:
            _fold(parent, source.target, _affine(norm))
            parent.set_submodule(node.target, _rest(norm))
            del reasons[norm]
        else:
            reasons[norm] = reason
    return reasons


class _OneLevel(fx.Tracer):
    """Follows one module's forward and enters none of its children."""

    def is_leaf_module(self, module: nn.Module, qualified_name: str) -> bool:
        return True


def _obstacle(
    parent: nn.Module,
    norm: nn.Module,
    node: fx.Node,
    source: object,
    times: Counter[str],
    places: Counter[nn.Module],
) -> str | None:
    """Why the batch norm called by `node` cannot be folded into what made its input, if so."""
    if not (isinstance(source, fx.Node) and source.op == "call_module"):
        return "no layer makes its input"
    layer = parent.get_submodule(source.target)
    if _convolutions(layer) is None:
        return f"it follows a {type(layer).__name__}, not a plain convolution"
    if len(source.users) > 1:
        return f"{source.target}'s output is used elsewhere, too"
    if any(times[n.target] > 1 or places[m] > 1 for n, m in ((node, norm), (source, layer))):
        return f"{source.target} or the batch norm is used more than once"
    if norm.running_mean is None:
        return "it has no running statistics"
    if _rest(norm) is None:
        return f"{type(norm).__name__} is not a plain batch norm"
    return None


def _convolutions(layer: nn.Module) -> list[nn.Module] | None:
    """The one convolution of a layer, or the two of a bare Ghost module; None of anything else."""
    halves = [layer]
    if type(layer) in GHOSTS:
        halves = [half[0] for half in layer.children() if len(half) == 1]
        if len(halves) < len(list(layer.children())):
            return None
    is_plain = [
        type(half) in CONVOLUTIONS
        and "weight" in half._parameters  # else a parametrization computes it
        and not (half._forward_hooks or half._forward_pre_hooks)
        for half in halves
    ]
    return halves if all(is_plain) else None


def _rest(norm: nn.Module) -> nn.Module | None:
    """What a batch norm does after normalising; None where that is unknown."""
    if type(norm) in PLAIN_NORMS:
        return nn.Identity()
    if [name for name, _ in norm.named_children()] == ["drop", "act"]:  # timm's BatchNormAct2d
        return nn.Sequential(norm.drop, norm.act)
    return None


def _affine(norm: nn.Module) -> Affine:
    mean, variance = norm.running_mean.double(), norm.running_var.double()
    scale = (variance + norm.eps).rsqrt()
    if norm.weight is not None:
        scale = scale * norm.weight.detach().double()
    shift = -mean * scale
    if norm.bias is not None:
        shift = shift + norm.bias.detach().double()
    return scale, shift


def _fold(parent: nn.Module, name: str, affine: Affine) -> None:
    """Put a batch norm's scale and shift into the convolution or Ghost module called `name`."""
    layer = parent.get_submodule(name)
    if type(layer) not in GHOSTS:
        _scale_conv(layer, affine)
    elif layer.ratio == 1:
        _scale_conv(layer.primary_conv[0], affine)
    else:
        parent.set_submodule(name, FoldedGhost(layer, affine))


@torch.no_grad()
def _depthwise_affine(scale: Tensor, shift: Tensor, *, like: Tensor) -> nn.Conv2d:
    """Maps [N, m, H, W] times scale [m] plus shift [m], in the dtype and place of `like`."""
    conv = nn.Conv2d(len(scale), len(scale), 1, groups=len(scale)).to(like)
    conv.weight.copy_(scale[:, None, None, None])
    conv.bias.copy_(shift)
    return conv


@torch.no_grad()
def _scale_conv(conv: nn.Module, affine: Affine) -> None:
    """Make a convolution's output `scale` times as large, and larger by `shift`, in place."""
    scale, shift = affine
    if conv.bias is not None:
        shift = shift + scale * conv.bias.double()
    axes = [-1] + [1] * (conv.weight.dim() - 1)
    weight = conv.weight.double() * scale.view(axes)
    conv.weight = nn.Parameter(weight.to(conv.weight))
    conv.bias = nn.Parameter(shift.to(conv.weight))


def _defaults(module: nn.Module) -> dict[str, object]:
    """Values of the forward's arguments that need not be given, which may steer it."""
    parameters = inspect.signature(module.forward).parameters.values()
    return {p.name: p.default for p in parameters if p.default is not p.empty}
