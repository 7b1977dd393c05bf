"""Batch norms folded into the layers before them: the same network in eval mode, with fewer layers.

A batch norm that can be folded is folded, and the outputs stay equal up to rounding. A batch norm
that cannot be folded stays, with a reason. `ghostexp.layers.folded_ghost` explains the algebra.
Which layer a batch norm reads is taken from a trace by torch.fx: of the whole network, or of each
part whose forward torch.fx can follow.
"""

import inspect
import logging
from collections import Counter
from dataclasses import dataclass

from torch import fx, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torchvision.ops import FrozenBatchNorm2d

from ghostexp.deploy.foldable import GHOSTS, LAYERS, find_obstacle, layer_calls, rest_of
from ghostexp.deploy.reparameterize import has_hooks, reparameterize
from ghostexp.layers.channel_order import ChannelOrder
from ghostexp.layers.folded_ghost import Affine, FoldedGhost, affine_of, scale_layer
from ghostexp.layers.rep_ghost import fuse_branches

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Fused:
    """A network in eval mode, and for each batch norm that is left in it the reason, by name."""

    net: nn.Module
    left: dict[str, str]


def fuse(net: nn.Module) -> nn.Module:
    """A copy of `net` in eval mode with its batch norms folded; outputs are equal up to rounding.

    One line of the log says which batch norms stay. `fuse_and_report` gives the reason for each.
    """
    return fuse_and_report(net).net


def fuse_and_report(net: nn.Module) -> Fused:
    """As `fuse`, and the reason for each batch norm that is left.

    Branches are added up, and timm's blocks take their deployed form. A batch norm is folded into a
    convolution, a transposed convolution, a linear layer or a bare Ghost module if it is the only
    reader of that layer's output. The output of a linear layer is taken to be [N, C]. A module with
    hooks stays as it is.
    """
    fused = fuse_branches(net).eval()
    count = len(batch_norms(fused))
    reparameterize(fused)
    places = Counter(child for parent in fused.modules() for child in parent._modules.values())
    reasons = dict.fromkeys(batch_norms(fused).values(), "no module holds it beside a layer")
    waiting = [fused]
    while waiting:
        parent = waiting.pop()
        if _is_norm(parent):
            continue
        unseen = _fold_in(parent, reasons, places)
        waiting += [child for child in parent.children() if not unseen.isdisjoint(child.modules())]
    left = {name: reasons[norm] for name, norm in batch_norms(fused).items()}
    log.info("%d of %d batch norms folded", count - len(left), count)
    if left:
        log.warning("%d of %d batch norms stay: %s", len(left), count, _summary(left))
    return Fused(fused.eval(), left)  # the new modules, too


def batch_norms(net: nn.Module) -> dict[str, nn.Module]:
    """Every batch norm of `net` by its name."""
    return {name: module for name, module in net.named_modules() if _is_norm(module)}


def _is_norm(module: nn.Module | None) -> bool:
    return isinstance(module, _BatchNorm | FrozenBatchNorm2d)


def _summary(left: dict[str, str]) -> str:
    """Each reason once, with the first batch norm that it holds for and the number of others."""
    groups: dict[str, list[str]] = {}
    for name, reason in left.items():
        groups.setdefault(reason, []).append(name or "the network")
    return "; ".join(
        f"{names[0]}{f' and {len(names) - 1} more' if names[1:] else ''}: {reason}"
        for reason, names in groups.items()
    )


def _fold_in(
    parent: nn.Module, reasons: dict[nn.Module, str], places: Counter[nn.Module]
) -> set[nn.Module]:
    """Fold the batch norms that a trace of `parent` shows; return those that it does not show."""
    norms = {norm for norm in batch_norms(parent).values() if norm in reasons}
    graph, error = _trace(parent, _WholeNetwork()), None
    if not isinstance(graph, fx.Graph):
        graph, error = _trace(parent, _OneLevel()), graph
    if not isinstance(graph, fx.Graph):
        reasons |= dict.fromkeys(
            norms, f"torch.fx cannot follow its {type(parent).__name__}: {error}"
        )
        return norms
    calls = [node for node in graph.nodes if node.op == "call_module"]
    times = Counter(parent.get_submodule(node.target) for node in calls)
    read = {node.target.rpartition(".")[0] for node in graph.nodes if node.op == "get_attr"}
    for node in calls:
        norm = parent.get_submodule(node.target)
        if norm not in norms:
            continue
        norms.discard(norm)
        reason = find_obstacle(parent, node, read, times, places)
        if reason is None:
            _fold(parent, node.args[0], affine_of(norm))
            parent.set_submodule(node.target, rest_of(norm))
        else:
            reasons[norm] = reason
    reasons |= dict.fromkeys(norms, f"its {type(parent).__name__} does not call it")
    return norms


def _trace(parent: nn.Module, tracer: fx.Tracer) -> fx.Graph | str:
    """The graph of a module's forward, or a sentence that says why there is no graph."""
    try:
        return tracer.trace(parent, _defaults(parent) or None)
    except Exception as error:  # whatever a forward does with stand-ins for tensors
        return str(error).partition("\n")[0]


class _OneLevel(fx.Tracer):
    """Follows the forward of one module without entering its children."""

    def is_leaf_module(self, module: nn.Module, qualified_name: str) -> bool:
        return True


class _WholeNetwork(fx.Tracer):
    """Enters all modules except single layers and modules with hooks, which it would call."""

    def is_leaf_module(self, module: nn.Module, qualified_name: str) -> bool:
        single = (*GHOSTS, FoldedGhost, *LAYERS)
        is_single = isinstance(module, single) or _is_norm(module) or not any(module.children())
        return is_single or has_hooks(module) or super().is_leaf_module(module, qualified_name)


def _fold(parent: nn.Module, source: fx.Node, affine: Affine) -> None:
    """Put a batch norm's scale and shift into the layer or Ghost module that makes its input."""
    *passing, makes = layer_calls(parent, source)
    for between in (parent.get_submodule(call.target) for call in passing):
        if isinstance(between, ChannelOrder):  # its output map c is its input map index[c]
            back = between.index.argsort()
            affine = affine[0][back], affine[1][back]
    layer = parent.get_submodule(makes.target)
    if type(layer) not in GHOSTS:
        scale_layer(layer, affine)
    elif layer.ratio == 1:
        scale_layer(layer.primary_conv[0], affine)
    else:
        parent.set_submodule(makes.target, FoldedGhost(layer, affine))


def _defaults(module: nn.Module) -> dict[str, object]:
    """Default values of the arguments of the forward, on which its course may depend."""
    parameters = inspect.signature(module.forward).parameters.values()
    return {p.name: p.default for p in parameters if p.default is not p.empty}
