"""The config of a run that is gone on with: the saved one, with the command line's values in it."""

from pathlib import Path
from typing import Any

from hydra.core.override_parser.types import Override
from omegaconf import DictConfig, OmegaConf, open_dict

from ghostexp.config.explain import UserError, did_you_mean
from ghostexp.config.saved import CONFIG_FILE, read_saved
from ghostexp.results.identity import kernels
from ghostexp.results.no_run import no_run


def check_folder(arguments: list[str]) -> None:
    """Refuse to resume a folder that is not there, before Hydra makes it."""
    for argument in arguments:
        key, _, path = argument.partition("=")
        named = key == "resume" and path not in ("", "null") and path[0] not in "'\""
        if named and not Path(path).is_dir() and not {"-m", "--multirun"} & {*arguments}:
            raise UserError(f"resume: {no_run(Path(path), CONFIG_FILE)}")


def resumed_config(
    directory: Path, composed: DictConfig, choices: dict[str, str], overrides: list[Override]
) -> DictConfig:
    """Saved config of the run that is gone on with, with the values of the command line in it.

    `composed` is what the command line alone would give. `UserError` for a key that the saved
    config does not have, or for another choice of a group; only the kernels of `callbacks` may
    be chosen anew.
    """
    if not (directory / CONFIG_FILE).exists():
        raise UserError(f"resume: {no_run(directory, CONFIG_FILE)}")
    cfg = read_saved(directory)
    cfg.rerun = False  # was said to the launch that wrote the config, not to this one
    OmegaConf.set_struct(cfg, True)
    for override in overrides:
        key = override.key_or_group
        if key == "resume":
            continue
        if key == "callbacks":
            chosen, asked = _apart(composed.callbacks)
            _, saved_callbacks = _apart(cfg.callbacks)
            if asked.keys() <= saved_callbacks.keys():  # nothing is new but the kernels
                cfg.callbacks = saved_callbacks | chosen
                continue
        if key in choices or override.is_delete():
            raise UserError(
                f"resume goes on with the run's saved config: {override.input_line} would choose"
                " another part, and only values can change (key=value), or callbacks=default, fast,"
                " native and cuda_graph"
            )
        _set_value(cfg, override)
    return cfg


def _apart(callbacks: DictConfig) -> tuple[dict[str, Any], dict[str, Any]]:
    """The callbacks that bring kernels, and the others."""
    nodes = OmegaConf.to_container(callbacks, resolve=False)
    chosen = kernels({"callbacks": nodes})
    return chosen, {name: node for name, node in nodes.items() if name not in chosen}


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
