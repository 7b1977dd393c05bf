"""Packages beyond the shipped ones that the command line of this process lets a `_target_` name.

A config file cannot grant a package, because the file may come from somebody else.
"""

from collections.abc import Iterable

from hydra.core.override_parser.overrides_parser import OverridesParser

KEY = "allow_targets"

_granted: tuple[str, ...] = ()


def grant(packages: Iterable[str]) -> None:
    """Let a `_target_` name these packages from now on, in the place of earlier grants."""
    global _granted
    _granted = tuple(packages)


def granted() -> tuple[str, ...]:
    """The packages that were granted."""
    return _granted


def named_in(arguments: Iterable[str]) -> list[str]:
    """Packages in the arguments `allow_targets=[...]` of a command line."""
    given = [each for each in arguments if each.lstrip("+").startswith(f"{KEY}=")]
    packages: list[str] = []
    for override in OverridesParser.create().parse_overrides(given):
        value = override.value()
        packages += [str(name) for name in value] if isinstance(value, list) else [str(value)]
    return packages
