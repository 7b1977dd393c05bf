"""Hydra's composition of many points that differ in plain values only.

Hydra reads and merges every YAML file again for each point, which takes tenths of a second. Points
that choose the same files differ in the values that the sweep sets at the end. So Hydra composes
the first of them, and the others are copies with other values.
"""

import functools
from collections.abc import Sequence
from typing import Any

from hydra.core.config_loader import ConfigLoader
from hydra.core.object_type import ObjectType
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override, OverrideType
from omegaconf import DictConfig, OmegaConf, read_write

SCALARS = (int, float, str, bool, type(None))


class Composer:
    """Composes points of one sweep; `config` is the sweep's own config, with Hydra's node."""

    def __init__(self, config: DictConfig, loader: ConfigLoader) -> None:
        self.config = config
        self.loader = loader
        self.groups: dict[str, bool] = {}
        self.composed: dict[tuple[str, ...], DictConfig] = {}  # by what Hydra has to compose

    def __call__(self, overrides: Sequence[str]) -> DictConfig:
        """The config of the point with these overrides, as Hydra would compose it."""
        plain = {text for text in overrides if self._is_plain(text, overrides)}
        key = (*(text.partition("=")[0] if text in plain else text for text in overrides),)
        if key not in self.composed:
            self.composed[key] = self.loader.load_sweep_config(self.config, list(overrides))
            return self.composed[key].copy()
        copied = self.composed[key].copy()
        with read_write(copied):
            copied.hydra.overrides.task = list(overrides)
        for text in overrides:
            if text in plain:
                override = parsed(text)
                OmegaConf.update(copied, override.key_or_group, override.value())
        return copied

    def _is_plain(self, text: str, overrides: Sequence[str]) -> bool:
        """Whether an override sets one value that nothing else of the command line touches."""
        override = parsed(text)
        key = override.key_or_group
        others = [parsed(each).key_or_group for each in overrides if each != text]
        return (
            override.type == OverrideType.CHANGE
            and isinstance(_plain_value(override), SCALARS)
            and not key.startswith("hydra.")
            and not any(_overlap(key, other) for other in others)
            and not self._is_group(key)
        )

    def _is_group(self, key: str) -> bool:
        if key not in self.groups:
            found = self.loader.get_group_options(key.replace(".", "/"), ObjectType.CONFIG)
            self.groups[key] = bool(found)
        return self.groups[key]


@functools.cache
def parsed(text: str) -> Override:
    """An override of a point as Hydra reads it."""
    return OverridesParser.create().parse_override(text)


def _plain_value(override: Override) -> Any:
    return override.value() if not override.is_sweep_override() else ()


def _overlap(one: str, other: str) -> bool:
    return f"{one}.".startswith(f"{other}.") or f"{other}.".startswith(f"{one}.")
