"""Why a convolution of a network keeps its place, where no Ghost module can or should take it.

A network that cannot be run is judged by the order in which its parents register their modules.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from ghostexp.layers.ghost import GhostModule
from ghostexp.models.convolutions import Found, matches, places_in
from ghostexp.models.data_flow import Flow
from ghostexp.models.trial_run import Trial


@dataclass(frozen=True)
class Wishes:
    """What the caller of a conversion asks for; `convert_to_ghost` explains each."""

    ratio: int
    cheap_kernel_size: int
    skip: Sequence[str]
    only: Sequence[str] | None
    inner_norm: bool
    image_size: int | None


def obstacles_before_running(
    net: nn.Module, convolutions: list[Found], wishes: Wishes
) -> dict[nn.Module, str | None]:
    """Why each convolution has to stay, as far as that is known without a trial run."""
    ours = [module for module in net.modules() if isinstance(module, GhostModule)]
    converted = {module for ghost in ours for module in ghost.modules()}
    weight_uses = Counter(
        parameter for module in net.modules() for parameter in module.parameters(recurse=False)
    )
    return {
        found.conv: (
            "part of a Ghost module"
            if found.conv in converted
            else _choice(found, wishes) or _obstacle(found.conv, weight_uses, wishes.ratio)
        )
        for found in convolutions
    }


def _choice(found: Found, wishes: Wishes) -> str | None:
    """Why the caller wants this convolution to stay; None if the caller does not."""
    if matches(found, wishes.skip):
        return "named in skip"
    if wishes.only is not None and not matches(found, wishes.only):
        return "not named in only"
    return None


def _obstacle(conv: nn.Conv2d, weight_uses: Counter[nn.Parameter], ratio: int) -> str | None:
    """Why a Ghost module cannot take the place of this convolution; None if it can."""
    if conv.groups > 1:
        return f"grouped, groups={conv.groups}"
    if "weight" not in conv._parameters:
        return "its weight is computed by a parametrization or a hook"
    if type(conv) is not nn.Conv2d:
        return f"{type(conv).__name__} is not a plain Conv2d"
    if weight_uses[conv.weight] > 1:
        return "its weight is shared with another module"
    if conv._forward_hooks or conv._forward_pre_hooks or conv._backward_hooks:
        return "it carries hooks"
    if ratio == 1:
        return "ratio 1 is the dense convolution"
    if conv.out_channels < ratio:
        return f"its {conv.out_channels} output channels are fewer than the ratio {ratio}"
    return None


def obstacle_seen(found: Found, trial: Trial) -> str | None:
    """Why the network's forward forbids a Ghost module here; None if the trial shows no reason."""
    if trial.failure is not None:
        return None
    flow = trial.flows.get(found.conv)
    if flow is None:
        return f"not called in the trial run on {trial.described} images"
    if flow.read is not None:
        return f"the network reads its {flow.read} itself, which a Ghost module does not have"
    if flow.in_ghost:
        return "part of a Ghost module"
    return None


def no_gain(net: nn.Module, found: Found, trial: Trial, wishes: Wishes) -> str | None:
    """Why a Ghost module would gain nothing here; a caller who names the layer overrules this."""
    if wishes.only is not None:
        return None
    flow = trial.flows.get(found.conv)
    if flow is not None and flow.is_output and found.conv is not net:
        return "its maps are the network's output: half of them would be copies of the others"
    size = wishes.cheap_kernel_size
    if flow is not None and size // 2 >= min(flow.largest):
        height, width = flow.largest
        return (
            f"its maps are {height}x{width} pixels: the outer weights of a {size}x{size} cheap"
            f" kernel would only read the border and never learn"
        )
    bias = found.conv.bias is not None and norm_behind(found, trial) is None
    before, after = count_params(found.conv), count_ghost_params(found.conv, wishes, bias)
    if after >= before:
        return f"a Ghost module would not be smaller, {before:,} -> {after:,} params"
    return None


def norm_behind(found: Found, trial: Trial) -> nn.Module | None:
    """The batch norm that is the only reader of the convolution's maps, if there is one."""
    if trial.failure is None:
        return trial.flows[found.conv].norm
    norms = {_next_sibling(parent, name) for parent, name in found.places}
    return norms.pop() if len(norms) == 1 else None


def _next_sibling(parent: nn.Module, child_name: str) -> nn.Module | None:
    """The module that the parent registers next, if it is a batch norm for the child's channels."""
    names = [name for name, child in parent._modules.items() if child is not None]
    following = names[names.index(child_name) + 1 :]
    norm = parent._modules[following[0]] if following else None
    channels = parent._modules[child_name].out_channels
    return norm if isinstance(norm, _BatchNorm) and norm.num_features == channels else None


def inner_norm_obstacle(
    net: nn.Module, found: Found, norm: nn.Module | None, flow: Flow | None
) -> str | None:
    """Why the batch norm behind this convolution cannot move inside; None if it can."""
    if norm is None:
        return "no batch norm follows"
    if type(norm) not in (nn.BatchNorm2d, nn.SyncBatchNorm):
        return f"{type(norm).__name__} is not a plain batch norm"
    shared = len(found.places) > 1 or len(places_in(net)[norm]) > 1
    if shared or (flow is not None and not flow.owns_norm):
        return "convolution or batch norm is shared"
    return None


def count_params(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def count_ghost_params(conv: nn.Conv2d, wishes: Wishes, bias: bool) -> int:
    intrinsic = ceil(conv.out_channels / wishes.ratio)
    ghosts = intrinsic * (wishes.ratio - 1)
    weights = intrinsic * conv.weight[0].numel() + ghosts * wishes.cheap_kernel_size**2
    return weights + (intrinsic + ghosts) * bias
