"""Whether a batch norm can be folded into the layer that makes its input, and if not, why."""

from collections import Counter

from torch import fx, nn
from torchvision.ops import FrozenBatchNorm2d

from ghostexp.deploy.reparameterize import has_hooks
from ghostexp.layers.channel_order import ChannelOrder
from ghostexp.layers.fast_ghost import FastGhostModule
from ghostexp.layers.fast_norm import FastBatchNorm2d
from ghostexp.layers.folded_ghost import TRANSPOSED
from ghostexp.layers.ghost import GhostModule

GHOSTS = (GhostModule, FastGhostModule)
LAYERS = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d, *TRANSPOSED)
# layers that only pass values on, or reorder channels, in eval mode
PASSING = (ChannelOrder, nn.Identity, nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Dropout3d)
PLAIN_NORMS = (
    *(nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.SyncBatchNorm),
    *(FastBatchNorm2d, FrozenBatchNorm2d),
)
HOOKS = "it or the layer before it carries hooks, which folding would lose"


def find_obstacle(
    parent: nn.Module,
    node: fx.Node,
    read: set[str],
    times: Counter[nn.Module],
    places: Counter[nn.Module],
) -> str | None:
    """Why the batch norm that `node` calls cannot be folded into the layer before it; else None."""
    calls = layer_calls(parent, node.args[0] if node.args else None)
    if not calls:
        return "no layer makes its input"
    name = calls[-1].target
    layer, norm = parent.get_submodule(name), parent.get_submodule(node.target)
    modules = [norm, *(parent.get_submodule(call.target) for call in calls)]
    obstacle = _layer_obstacle(layer, name)
    if obstacle is not None:
        return obstacle
    if any(len(call.users) > 1 for call in calls):
        return f"{name}'s output is used elsewhere, too"
    if any(times[module] > 1 or places[module] > 1 for module in modules):
        return f"{name} or the batch norm is used more than once"
    if name in read:
        return f"the network reads the weight of {name} itself"
    if any(has_hooks(module) for module in modules):
        return HOOKS
    return _norm_obstacle(norm, _channels(layer), name)


def layer_calls(parent: nn.Module, source: object) -> list[fx.Node]:
    """The calls that make a batch norm's input, from the last one back to a layer."""
    calls = []
    while isinstance(source, fx.Node) and source.op == "call_module":
        calls.append(source)
        if type(parent.get_submodule(source.target)) not in PASSING:
            return calls
        source = source.args[0] if source.args else None
    return []


def _layer_obstacle(layer: nn.Module, name: str) -> str | None:
    """Why nothing can be folded into a layer; None if something can."""
    halves = [layer]
    if type(layer) in GHOSTS:
        halves = [half[0] for half in layer.children() if len(half) == 1]
        if len(halves) < len(list(layer.children())):
            return f"{name} is a Ghost module with a norm or activation of its own"
    for half in halves:
        if isinstance(half, LAYERS) and "weight" not in half._parameters:
            return f"the weight of {name} is computed by a parametrization or a hook"
        if type(half) not in LAYERS:
            return f"it follows a {type(layer).__name__}, not a plain layer with weights"
        if has_hooks(half):
            return HOOKS
    return None


def _norm_obstacle(norm: nn.Module, channels: int, name: str) -> str | None:
    """Why a batch norm behind `name` cannot be folded; None if it can."""
    if norm.running_mean is None:
        return "it has no running statistics"
    if rest_of(norm) is None:
        return f"{type(norm).__name__} is not a plain batch norm"
    if len(norm.running_mean) != channels:
        return f"it normalises {len(norm.running_mean)} channels, not those of {name}"
    return None


def _channels(layer: nn.Module) -> int:
    return layer.out_features if isinstance(layer, nn.Linear) else layer.out_channels


def rest_of(norm: nn.Module) -> nn.Module | None:
    """The module for what a batch norm does after normalising; None if that is unknown."""
    if type(norm) in PLAIN_NORMS:
        return nn.Identity()
    if [name for name, _ in norm.named_children()] == ["drop", "act"]:  # timm's BatchNormAct2d
        return nn.Sequential(norm.drop, norm.act)
    return None
