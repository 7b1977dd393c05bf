"""The convolutions of a network, their names and places, and patterns of names."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

from torch import nn


@dataclass(frozen=True)
class Found:
    """One convolution with all its names and the places that hold it.

    A convolution that is the whole network stands in no place.
    """

    conv: nn.Conv2d
    names: list[str]
    places: list[tuple[nn.Module, str]]  # parent, name of the child


def find_convolutions(net: nn.Module) -> list[Found]:
    """Each two-dimensional convolution of `net` once, in the order of registration."""
    places = places_in(net)
    convolutions: dict[nn.Module, Found] = {}
    for name, module in net.named_modules(remove_duplicate=False):
        if isinstance(module, nn.Conv2d):
            found = convolutions.setdefault(module, Found(module, [], places[module]))
            found.names.append(name)
    return list(convolutions.values())


def places_in(net: nn.Module) -> dict[nn.Module, list[tuple[nn.Module, str]]]:
    """For each module of `net` the modules that hold it, with the names that they give it."""
    places: dict[nn.Module, list[tuple[nn.Module, str]]] = defaultdict(list)
    for parent in net.modules():
        for name, child in parent._modules.items():
            if child is not None:
                places[child].append((parent, name))
    return places


def check_patterns(option: str, patterns: Sequence[str], convolutions: list[Found]) -> None:
    """Refuse a pattern of the argument `option` that matches no convolution."""
    if isinstance(patterns, str):
        raise ValueError(f"{option} must be a list of names, not the string {patterns!r}")
    for pattern in patterns:
        if not any(matches(found, [pattern]) for found in convolutions):
            examples = ", ".join(found.names[0] for found in convolutions[:3])
            raise ValueError(
                f"{option}: none of the network's {len(convolutions)} convolutions"
                f" ({examples}, ...) matches {pattern!r}"
            )


def matches(found: Found, patterns: Sequence[str]) -> bool:
    """Whether one of the names of the convolution fits one of the patterns."""
    return any(
        name == pattern or fnmatchcase(name, pattern)
        for name in found.names
        for pattern in patterns
    )
