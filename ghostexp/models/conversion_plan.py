"""Plan of a conversion: every convolution of a network, whether a Ghost module can replace it, why.

Children are taken to run in the order in which their parent registers them: the batch norm of a
convolution is the next sibling, if that is one over as many channels.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from math import ceil

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from ghostexp.layers.ghost import GhostModule, check_cheap_kernel_size, check_ratio


@dataclass(frozen=True)
class ConversionRow:
    """What becomes of one convolution, and why.

    Both parameter counts include the batch norm behind the convolution where it moves inside.
    """

    name: str
    replaced: bool
    reason: str
    params_before: int
    params_after: int

    def __str__(self) -> str:
        verdict = "replaced" if self.replaced else "kept"
        params = f"{self.params_before:,} -> {self.params_after:,}"
        return f"{self.name}: {verdict}, {params} params ({self.reason})"


@dataclass(frozen=True)
class Found:
    """One convolution, all its names, and the places that hold it; none if it is the network."""

    conv: nn.Conv2d
    names: list[str]
    places: list[tuple[nn.Module, str]]  # parent, name of the child


@dataclass(frozen=True)
class Step:
    """A row of the plan with what it takes to carry it out."""

    found: Found
    row: ConversionRow
    bias: bool = False
    norm_name: str | None = None  # the sibling batch norm that moves inside


def plan_steps(
    net: nn.Module,
    ratio: int,
    cheap_kernel_size: int,
    skip: Sequence[str],
    only: Sequence[str] | None,
    inner_norm: bool,
) -> list[Step]:
    """Check the arguments and decide on each convolution; nothing is changed."""
    check_cheap_kernel_size(cheap_kernel_size)
    convolutions = _find_convolutions(net)
    _check_patterns("skip", skip, convolutions)
    _check_patterns("only", only or (), convolutions)
    ghosts = [module for module in net.modules() if isinstance(module, GhostModule)]
    converted = {module for ghost in ghosts for module in ghost.modules()}
    weight_uses = Counter(
        parameter for module in net.modules() for parameter in module.parameters(recurse=False)
    )
    steps = []
    for found in convolutions:
        if found.conv in converted:
            reason = "part of a Ghost module"
        else:
            reason = _choice(found, skip, only) or _obstacle(found.conv, weight_uses)
        if reason is None:
            _check_layer_ratio(found, ratio)
            if ratio == 1:
                reason = "ratio 1 is the dense convolution"
        if reason is None:
            steps.append(_replacement(net, found, ratio, cheap_kernel_size, inner_norm))
        else:
            params = _params(found.conv)
            steps.append(Step(found, ConversionRow(found.names[0], False, reason, params, params)))
    return steps


def _find_convolutions(net: nn.Module) -> list[Found]:
    convolutions: dict[nn.Module, Found] = {}
    for name, module in net.named_modules(remove_duplicate=False):
        if not isinstance(module, nn.Conv2d):
            continue
        found = convolutions.setdefault(module, Found(module, [], []))
        found.names.append(name)
        parent_name, _, child_name = name.rpartition(".")
        place = (net.get_submodule(parent_name), child_name)
        if module is not net and place not in found.places:  # a shared parent has two names
            found.places.append(place)
    return list(convolutions.values())


def _check_patterns(option: str, patterns: Sequence[str], convolutions: list[Found]) -> None:
    if isinstance(patterns, str):
        raise ValueError(f"{option} must be a list of names, not the string {patterns!r}")
    for pattern in patterns:
        if not any(_matches(found, [pattern]) for found in convolutions):
            examples = ", ".join(found.names[0] for found in convolutions[:3])
            raise ValueError(
                f"{option}: none of the network's {len(convolutions)} convolutions"
                f" ({examples}, ...) matches {pattern!r}"
            )


def _matches(found: Found, patterns: Sequence[str]) -> bool:
    return any(
        name == pattern or fnmatchcase(name, pattern)
        for name in found.names
        for pattern in patterns
    )


def _choice(found: Found, skip: Sequence[str], only: Sequence[str] | None) -> str | None:
    """Why the caller wants this convolution kept, if so."""
    if _matches(found, skip):
        return "named in skip"
    if only is not None and not _matches(found, only):
        return "not named in only"
    return None


def _obstacle(conv: nn.Conv2d, weight_uses: Counter[nn.Parameter]) -> str | None:
    """Why a Ghost module cannot stand for this convolution, if so."""
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
    return None


def _check_layer_ratio(found: Found, ratio: int) -> None:
    try:
        check_ratio(ratio, found.conv.out_channels)
    except ValueError as error:
        name = found.names[0]
        raise ValueError(
            f"convolution {name!r}: {error}; change the ratio or keep this layer dense with"
            f" skip=[{name!r}]"
        ) from error


def _replacement(
    net: nn.Module, found: Found, ratio: int, cheap_kernel_size: int, inner_norm: bool
) -> Step:
    conv = found.conv
    norms = [_norm_behind(parent, child_name) for parent, child_name in found.places]
    normed = bool(norms) and None not in norms
    bias = conv.bias is not None and not normed
    notes = [f"dense {conv.kernel_size[0]}x{conv.kernel_size[1]}"]
    if conv.bias is not None:
        notes.append("bias kept" if bias else "bias dropped, a batch norm follows")
    norm_name = None
    if inner_norm:
        obstacle = _inner_norm_obstacle(net, found, norms)
        if obstacle is None:
            norm_name = norms[0]
        notes.append(
            "batch norm moved inside" if obstacle is None else f"no inner norm, {obstacle}"
        )
    before, after = _params(conv), _ghost_params(conv, ratio, cheap_kernel_size, bias)
    if norm_name is not None:
        norm = found.places[0][0].get_submodule(norm_name)
        before += _params(norm)
        after += _params(norm) // conv.out_channels * ceil(conv.out_channels / ratio) * ratio
    row = ConversionRow(found.names[0], True, "; ".join(notes), before, after)
    return Step(found, row, bias, norm_name)


def _norm_behind(parent: nn.Module, child_name: str) -> str | None:
    """Name of the sibling registered next, if it is a batch norm over the child's channels."""
    names = [name for name, child in parent._modules.items() if child is not None]
    following = names[names.index(child_name) + 1 :]
    if not following:
        return None
    norm, conv = parent._modules[following[0]], parent._modules[child_name]
    fits = isinstance(norm, _BatchNorm) and norm.num_features == conv.out_channels
    return following[0] if fits else None


def _inner_norm_obstacle(net: nn.Module, found: Found, norms: list[str | None]) -> str | None:
    """Why the batch norm behind this convolution cannot move inside, if so."""
    if not norms or None in norms:
        return "no batch norm follows"
    norm = found.places[0][0].get_submodule(norms[0])
    if type(norm) not in (nn.BatchNorm2d, nn.SyncBatchNorm):
        return f"{type(norm).__name__} is not a plain batch norm"
    uses = Counter(child for module in net.modules() for child in module._modules.values())
    if len(found.places) > 1 or uses[norm] > 1:
        return "convolution or batch norm is shared"
    return None


def _params(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def _ghost_params(conv: nn.Conv2d, ratio: int, cheap_kernel_size: int, bias: bool) -> int:
    intrinsic = ceil(conv.out_channels / ratio)
    ghosts = intrinsic * (ratio - 1)
    weights = intrinsic * conv.weight[0].numel() + ghosts * cheap_kernel_size**2
    return weights + (intrinsic + ghosts) * bias
