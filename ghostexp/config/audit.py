"""Checks of a composed config before anything is built: typing errors in YAML pass Hydra silently.

Every node with a `_target_` is held against its callable's signature, every other key against the
config tree that this project ships. Errors are one sentence: key, value, file, nearest known name.
"""

import inspect
import logging
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, ListConfig, OmegaConf

from ghostexp.config.cli import UserError, did_you_mean

log = logging.getLogger(__name__)

ALLOWED_TARGETS = (
    "ghostexp",
    "torch",
    "torchvision",
    "torchmetrics",
    "pytorch_lightning",
    "timm",
)
HYDRA_KEYS = {"_target_", "_partial_", "_convert_", "_recursive_", "_args_"}
TOP_LEVEL = {
    "allow_targets", "name", "on_error", "rerun", "resume", "run_dir", "seed",
    "callbacks", "dataset", "logger", "model", "optimizer", "sched", "task", "trainer",
}  # fmt: skip
SCHED_KEYS = {"scheduler", "interval", "frequency", "monitor", "strict", "name"}
GIVEN_BY_CODE = {  # arguments that experiment.py adds to a node's own
    "task": {"net", "optimizer", "sched"},
    "trainer": {"callbacks", "logger", "default_root_dir", "plugins"},
}


def audit(cfg: DictConfig, sources: list[Path]) -> None:
    """Raise `UserError` for the first mistake; `sources` are YAML folders, to name a key's file."""
    _check_keys(cfg, TOP_LEVEL, "", sources)
    _check_keys(cfg.sched, SCHED_KEYS, "sched", sources)
    for path, node in targets(cfg):
        _check_target(path, node, cfg.allow_targets, sources)
    for group in ("callbacks", "logger"):
        for name, node in (cfg.get(group) or {}).items():
            if node is not None and "_target_" not in node:
                raise UserError(f"{group}.{name} has no _target_{_origin(name, sources)}")
    _check_across_groups(cfg)


def targets(node: Any, path: str = "") -> Iterator[tuple[str, DictConfig]]:
    """Every node of a config that names a callable, with its dotted path."""
    if isinstance(node, DictConfig) and not node._is_none():
        if "_target_" in node:
            yield path, node
        for key in node:
            if not OmegaConf.is_missing(node, key) and not OmegaConf.is_interpolation(node, key):
                yield from targets(node._get_node(key), f"{path}.{key}" if path else str(key))
    elif isinstance(node, ListConfig) and not node._is_none():
        for index in range(len(node)):
            yield from targets(node._get_node(index), f"{path}.{index}")


def find_callable(target: str, allowed: list[str]) -> Any:
    """The callable that a `_target_` names, from the packages that may be named only."""
    if target.split(".")[0] not in {*ALLOWED_TARGETS, *allowed}:
        raise UserError(
            f"_target_ {target} is outside the allowed packages"
            f" ({', '.join([*ALLOWED_TARGETS, *allowed])}); add its package to allow_targets"
        )
    parts = target.split(".")
    for split in range(len(parts) - 1, 0, -1):
        try:
            found = import_module(".".join(parts[:split]))
        except ModuleNotFoundError as error:
            if error.name and not target.startswith(error.name):
                raise  # the module is there, and misses something of its own
            continue
        for index, part in enumerate(parts[split:], split):
            if not hasattr(found, part):
                place = ".".join(parts[:index])
                known = [name for name in dir(found) if not name.startswith("_")]
                raise UserError(
                    f"_target_ {target}: {place} has no {part}{did_you_mean(part, known)}"
                )
            found = getattr(found, part)
        return found
    raise UserError(f"_target_ {target}: no package {parts[0]} is installed")


def _check_target(path: str, node: DictConfig, allowed: list[str], sources: list[Path]) -> None:
    function = find_callable(node._target_, allowed)
    parameters = inspect.signature(function).parameters
    if any(p.kind is inspect.Parameter.VAR_KEYWORD for p in parameters.values()):
        return  # the callable itself must say which of its keywords it knows
    given = GIVEN_BY_CODE.get(path, set())
    _check_keys(node, (set(parameters) | HYDRA_KEYS) - given, path, sources)
    required = {
        name
        for name, parameter in parameters.items()
        if parameter.default is inspect.Parameter.empty
        and parameter.kind is not inspect.Parameter.VAR_POSITIONAL
    }
    missing = sorted(required - set(map(str, node)) - given)
    if missing and not node.get("_partial_") and "_args_" not in node:
        raise UserError(f"{path} ({node._target_}) needs a value for {', '.join(missing)}")


def _check_keys(node: DictConfig, known: set[str], path: str, sources: list[Path]) -> None:
    for key in map(str, node):
        if key not in known:
            full = f"{path}.{key}" if path else key
            raise UserError(f"{full}: no such key{_origin(key, sources)}{did_you_mean(key, known)}")


def _check_across_groups(cfg: DictConfig) -> None:
    val_split = cfg.dataset.get("val_split", 0.0)
    if not isinstance(val_split, int | float) or not 0 <= val_split < 1:
        raise UserError(
            f"dataset.val_split is the share held out for validation, in [0, 1), not {val_split}"
        )
    max_epochs = cfg.trainer.max_epochs
    if not isinstance(max_epochs, int) or max_epochs < 1:
        raise UserError(
            f"trainer.max_epochs must be a whole number of at least 1, not {max_epochs}"
        )
    every = cfg.trainer.get("check_val_every_n_epoch")
    if isinstance(every, int) and every > max_epochs:
        raise UserError(
            f"trainer.check_val_every_n_epoch is {every} of trainer.max_epochs={max_epochs}:"
            " no epoch would be validated"
        )
    if cfg.sched.interval not in ("epoch", "step"):
        raise UserError(f"sched.interval is epoch or step, not {cfg.sched.interval}")
    milestones = cfg.sched.scheduler.get("milestones")
    for milestone in milestones if isinstance(milestones, ListConfig) else []:
        late = isinstance(milestone, int) and milestone >= max_epochs
        if cfg.sched.interval == "epoch" and late:
            log.warning("milestone %s is past the last of %s epochs", milestone, max_epochs)
    if "max_lr" in cfg.sched.scheduler and "lr" in (cfg.task.get("param_groups") or {}):
        raise UserError(
            "sched.scheduler.max_lr is one learning rate for all layers, and task.param_groups"
            " gives each block its own: choose another sched"
        )
    _check_facts(cfg)
    _check_cosines(cfg)


def _check_cosines(cfg: DictConfig) -> None:
    """A loss with a margin takes cosines and one label an input, other losses take neither."""
    wanted, given = (bool(cfg.task.get("cosines")), bool(cfg.model.get("cosine_head")))
    if wanted and not given:
        raise UserError(
            f"{cfg.task.loss._target_} takes cosines, and this model ({cfg.model._target_}) has no"
            " cosine head: choose a model that has one, such as ghost_efficientnet_v2, or"
            " task=classification"
        )
    if given and not wanted:
        raise UserError(
            "model.cosine_head=true gives cosines, which task.cosines=false takes for logits:"
            " choose task=arcface or task=circle"
        )
    if wanted and cfg.dataset.get("augment") and cfg.dataset.augment.get("mix"):
        raise UserError(
            f"{cfg.task.loss._target_} takes one label an input, and dataset.augment.mix makes"
            " class shares: set it to null, or choose task=classification"
        )


def _check_facts(cfg: DictConfig) -> None:
    """The data set's facts hold wherever else they are written."""
    nodes = {"model": cfg.model, "task": cfg.task}
    if cfg.dataset.get("augment") and cfg.dataset.augment.get("mix"):
        nodes["dataset.augment.mix"] = cfg.dataset.augment.mix
    for path, node in nodes.items():
        for fact in ("num_classes", "in_channels"):
            value = node.get(fact)
            if value is not None and value != cfg.dataset[fact]:
                raise UserError(
                    f"{path}.{fact} is {value}, but the data set has {cfg.dataset[fact]}"
                )


def _origin(key: str, sources: list[Path]) -> str:
    """` (in FILE)` for the YAML files that hold a key, outside of the shipped top level."""
    files = [
        str(path.relative_to(folder.parent))
        for folder in sources
        for path in sorted(folder.rglob("*.yaml"))
        if any(line.split(":")[0].strip() == key for line in path.read_text().splitlines())
    ]
    return f" (in {', '.join(files)})" if files else ""
