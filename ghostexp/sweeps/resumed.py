"""The config of a run that is gone on with: the saved one, with the command line's values in it."""

from pathlib import Path

from hydra.core.override_parser.types import Override
from omegaconf import DictConfig, OmegaConf, open_dict

from ghostexp.config.cli import UserError, did_you_mean
from ghostexp.config.saved import CONFIG_FILE, read_saved


def resumed_config(
    directory: Path, choices: dict[str, str], overrides: list[Override]
) -> DictConfig:
    """Saved config of the run that is gone on with, with the values of the command line in it.

    `UserError` for a key that the saved config does not have, or for another choice of a group.
    """
    saved = directory / CONFIG_FILE
    if not saved.exists():
        raise UserError(f"resume={directory}: no run lives there ({saved} is missing)")
    cfg = read_saved(directory)
    cfg.rerun = False  # was said to the launch that wrote the config, not to this one
    OmegaConf.set_struct(cfg, True)
    for override in overrides:
        key = override.key_or_group
        if key == "resume":
            continue
        if key in choices or override.is_delete():
            raise UserError(
                f"resume goes on with the run's saved config: {override.input_line} would choose"
                " another part, and only values can change (key=value)"
            )
        _set_value(cfg, override)
    return cfg


def _set_value(cfg: DictConfig, override: Override) -> None:
    key, value = override.key_or_group, override.value()
    place, _, last = key.rpartition(".")
    parent = OmegaConf.select(cfg, place) if place else cfg
    if not isinstance(parent, DictConfig) or (last not in parent and not override.is_add()):
        known = [str(name) for name in parent] if isinstance(parent, DictConfig) else map(str, cfg)
        raise UserError(
            f"resume goes on with the run's saved config, which has no {key}"
            f"{did_you_mean(last, known)}"
        )
    with open_dict(cfg):
        OmegaConf.update(cfg, key, value)
