"""Checks of a config before anything is built from it: is it sound, and may it be trusted?

audit(cfg, sources)           a composed config: keys, values, names, contradictions
audit_saved(cfg, directory)   the config in the folder of a run, which somebody else may have made

Both look at the resolved config, so an interpolation hides nothing. Every node with a `_target_` is
held against its place (ghostexp/config/targets.py) and its arguments against the annotations of the
callable (ghostexp/config/values.py).
"""

import inspect
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import pytorch_lightning as pl
from omegaconf import DictConfig, ListConfig, OmegaConf, open_dict
from omegaconf.errors import OmegaConfBaseException
from omegaconf.resolvers import oc
from pytorch_lightning.loggers import Logger
from torch import nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from ghostexp.config.cli import UserError, did_you_mean, explain
from ghostexp.config.contradictions import check_contradictions
from ghostexp.config.directories import check_name, register_resolvers
from ghostexp.config.targets import check_role, find_callable
from ghostexp.config.values import describe, fits, is_open, objects, parameters, shown

Tree = dict[str, Any]

HYDRA_KEYS = {"_target_", "_partial_", "_convert_", "_recursive_", "_args_"}
GROUPS: dict[str, type] = {  # group -> what its node builds
    "dataset": pl.LightningDataModule,
    "model": nn.Module,
    "optimizer": Optimizer,
    "task": pl.LightningModule,
    "trainer": pl.Trainer,
}
COLLECTIONS: dict[str, type] = {"callbacks": pl.Callback, "logger": Logger}  # group -> of its nodes
TOP_LEVEL = {  # key -> what its value is
    "allow_targets": list[str],
    "name": Any,  # see check_name
    "on_error": Literal["continue", "stop"],
    "rerun": bool,
    "resume": str | None,
    "run_dir": str,
    "seed": int,
}
SCHED = {
    "scheduler": dict,
    "interval": Literal["epoch", "step"],
    "frequency": int,
    "monitor": str | None,
    "strict": bool,
    "name": str | None,
}
OUR_WORDS = {"trainer.precision": ("auto",)}  # that build_parts turns into the callable's own
GIVEN_BY_CODE = {  # arguments that build_parts adds to a node's own
    "task": {"net", "optimizer", "sched"},
    "trainer": {"callbacks", "logger", "default_root_dir", "plugins"},
}
STAND_IN = 2  # classes of a data set whose classes are counted later
MAX_FILES = 3  # in a sentence: a key of many files is no rare slip of one
MAX_SEED = 2**32 - 1  # of Lightning's seed_everything, as numpy's
PRETRAINED = {  # arguments that load or fetch weights, with the value that loads none
    "weights": None,
    "weights_backbone": None,
    "pretrained": False,
    "pretrained_backbone": False,
    "checkpoint_path": "",
}
OF_A_HUB = re.compile(r"(hf[-_]hub|local-dir):")  # names of timm's that lead out of the package
FROM_ENVIRONMENT = re.compile(r"\$\{oc\.env:\s*(\w+)\s*\}")


def audit(cfg: DictConfig, sources: list[Path]) -> None:
    """`UserError` for the first mistake of a composed config.

    `sources` are folders with YAML files, to name the file that an unknown key stands in.
    """
    audited = cfg.copy()
    if OmegaConf.is_missing(audited, "run_dir"):
        with open_dict(audited):
            audited.run_dir = "RUN_DIR"
    if OmegaConf.select(audited, "dataset.num_classes", default=0) is None:
        audited.dataset.num_classes = STAND_IN  # the data say it later
    for resolve in (False, True):  # a wrong value is told by its own key, not by what follows of it
        tree = _plain(audited, resolve=resolve)
        _check_keys(tree, {*TOP_LEVEL, *GROUPS, *COLLECTIONS, "sched"}, "", sources)
        _check_values(tree, TOP_LEVEL, "")
        _check_seed(tree.get("seed"))
        _check_folder(tree.get("name"))
        _check_epochs(tree.get("trainer"))
        _check_nodes(tree, sources)
        for group, base in COLLECTIONS.items():
            nodes = tree.get(group) or {}
            _check_value(nodes, dict, group)
            for name, node in nodes.items():
                if node is not None:
                    _check_root(node, f"{group}.{name}", base, sources)
    check_contradictions(cfg)


def audit_saved(cfg: DictConfig, directory: Path) -> None:
    """Make the config in a run's folder safe to build from, or raise `UserError`.

    `cfg` is resolved in place, so that what was audited is what is built. It loses what only a
    training needs: callbacks, loggers, and every weight to start from. Its own `allow_targets` are
    ignored, and it may neither read the environment (but for `dataset.root`) nor make folders.
    """
    try:
        with open_dict(cfg):
            cfg.run_dir = str(directory)
            cfg.callbacks = cfg.logger = None
            _set_root(cfg)
            with _only_computing():
                OmegaConf.resolve(cfg)
            _check_nodes(_plain(cfg, resolve=True), [])
            _check_seed(cfg.get("seed"))
            for path, node in targets(cfg):
                _forget_weights(node, path)
    except OmegaConfBaseException as error:
        raise UserError(f"{directory}: {_first_line(error)}") from error
    except UserError as error:
        raise UserError(f"{directory}: {error}") from error


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


def _plain(cfg: DictConfig, *, resolve: bool) -> Tree:
    try:
        tree = OmegaConf.to_container(cfg, resolve=resolve)
    except OmegaConfBaseException as error:
        key = f"{error.full_key}: " if error.full_key else ""
        raise UserError(f"{key}{_first_line(error)}") from error
    if resolve and (left := _interpolation(tree)):
        raise UserError(f"{left}: an interpolation may not yield another interpolation")
    return tree


def _interpolation(tree: Any) -> str | None:
    """A text in the resolved `tree` that would be resolved once more; None if there is none."""
    if isinstance(tree, dict | list):
        items = tree.values() if isinstance(tree, dict) else tree
        return next((left for item in items if (left := _interpolation(item))), None)
    return tree if isinstance(tree, str) and "${" in tree else None


def _first_line(error: Exception) -> str:
    """What a resolver says, or the first line of what OmegaConf says."""
    return explain(error).split(" full_key:")[0]


def _check_nodes(tree: Tree, sources: list[Path]) -> None:
    """Every node that a training or a script builds, from the groups down."""
    for group, base in GROUPS.items():
        _check_root(tree.get(group), group, base, sources)
    sched = tree.get("sched")
    if not isinstance(sched, dict):
        raise UserError(f"sched is {shown(sched)}: choose one of conf/sched")
    _check_keys(sched, set(SCHED), "sched", sources)
    _check_values(sched, SCHED, "sched")
    _check_root(sched.get("scheduler"), "sched.scheduler", LRScheduler, sources)


def _check_root(node: Any, path: str, base: type, sources: list[Path]) -> None:
    if node is None:
        group = path.split(".")[0]
        raise UserError(f"{path} is null: a run needs one, choose {group}=NAME from conf/{group}")
    if isinstance(node, str) and is_open(node):
        return  # an interpolation, which the resolved config shows
    if not isinstance(node, dict) or "_target_" not in node:
        raise UserError(f"{path} has no _target_{_origin(path.split('.')[-1], sources)}")
    _walk(node, path, (base,), sources)


def _walk(node: Any, path: str, expected: tuple[type, ...] | None, sources: list[Path]) -> None:
    """Check a value of the config and what lies below it, where objects of `expected` may stand."""
    if isinstance(node, list):
        for index, item in enumerate(node):
            _walk(item, f"{path}.{index}", expected, sources)
    elif isinstance(node, dict) and "_target_" not in node:
        for key, item in node.items():
            _walk(item, f"{path}.{key}", expected, sources)
    elif isinstance(node, dict) and not is_open(node["_target_"]):
        found = find_callable(node["_target_"], path)
        check_role(found, path, expected, partial=bool(node.get("_partial_")))
        _check_arguments(node, path, found, sources)


def _check_arguments(node: Tree, path: str, found: Any, sources: list[Path]) -> None:
    known = parameters(found) or {}
    for key in ("_partial_", "_recursive_"):
        _check_value(node.get(key, False), bool, f"{path}.{key}")
    annotations = {name: parameter.annotation for name, parameter in known.items()}
    if known and not _takes_any_keyword(known):
        given = GIVEN_BY_CODE.get(path, set())
        _check_keys(node, (set(known) | HYDRA_KEYS) - given, path, sources)
        _check_required(node, path, known, given)
    positional = [
        each.annotation
        for each in known.values()
        if each.kind in (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    ]
    for key, value in node.items():
        if key == "_args_" and isinstance(value, list):
            for index, item in enumerate(value):
                wanted = positional[index] if index < len(positional) else Any
                _walk(item, f"{path}._args_.{index}", objects(wanted), sources)
        elif key not in HYDRA_KEYS:
            wanted = annotations.get(key, Any)
            is_default = key in known and _is_default(value, known[key])
            if not is_default and value not in OUR_WORDS.get(f"{path}.{key}", ()):
                _check_value(value, wanted, f"{path}.{key}")
            _walk(value, f"{path}.{key}", objects(wanted), sources)


def _takes_any_keyword(known: dict[str, inspect.Parameter]) -> bool:
    """Whether the callable itself must say which keywords it knows."""
    return any(each.kind is inspect.Parameter.VAR_KEYWORD for each in known.values())


def _is_default(value: Any, parameter: inspect.Parameter) -> bool:
    """Whether a value is the callable's own, which older libraries annotate too narrowly."""
    return type(value) is type(parameter.default) and value == parameter.default


def _check_required(
    node: Tree, path: str, known: dict[str, inspect.Parameter], given: set[str]
) -> None:
    if node.get("_partial_") or "_args_" in node:
        return
    required = [
        name
        for name, parameter in known.items()
        if parameter.default is inspect.Parameter.empty
        and parameter.kind is not inspect.Parameter.VAR_POSITIONAL
    ]
    missing = [name for name in required if name not in node and name not in given]
    if missing:
        keys = ", ".join(f"{path}.{name}" for name in sorted(missing))
        raise UserError(f"{path} ({node['_target_']}) needs a value for {keys}")


def _check_values(tree: Tree, wanted: dict[str, Any], path: str) -> None:
    for key, annotation in wanted.items():
        if key in tree:
            _check_value(tree[key], annotation, f"{path}.{key}" if path else key)


def _check_value(value: Any, wanted: Any, path: str) -> None:
    if value == "???":
        raise UserError(f"{path} needs a value: {describe(wanted)}")
    if not fits(value, wanted):
        raise UserError(f"{path} must be {describe(wanted)}, not {shown(value)}")


def _check_seed(seed: Any) -> None:
    if not fits(seed, int) or (not is_open(seed) and not 0 <= seed <= MAX_SEED):
        raise UserError(f"seed must be a whole number from 0 to {MAX_SEED}, not {shown(seed)}")


def _check_epochs(trainer: Any) -> None:
    if isinstance(trainer, dict) and trainer.get("max_epochs") is None:
        raise UserError("trainer.max_epochs must be a whole number of at least 1, not null")


def _check_folder(name: Any) -> None:
    try:
        check_name(name)
    except ValueError as error:
        raise UserError(str(error)) from error


def _check_keys(node: Tree, known: set[str], path: str, sources: list[Path]) -> None:
    for key in map(str, node):
        if key not in known:
            full = f"{path}.{key}" if path else key
            names = {f"{path}.{name}" if path else name for name in known - HYDRA_KEYS}
            raise UserError(
                f"{full}: no such key{_origin(key, sources)}{did_you_mean(full, names)}"
            )


def _origin(key: str, sources: list[Path]) -> str:
    """` (in FILE)` for the YAML files that hold a key."""
    files = [
        str(path.relative_to(folder.parent))
        for folder in sources
        for path in sorted(folder.rglob("*.yaml"))
        if any(line.split(":")[0].strip() == key for line in path.read_text().splitlines())
    ]
    return f" (in {', '.join(files)})" if 0 < len(files) <= MAX_FILES else ""


def _set_root(cfg: DictConfig) -> None:
    """Where the data lie is the one thing that a saved config may take from the environment."""
    dataset = OmegaConf.to_container(cfg, resolve=False).get("dataset")
    root = dataset.get("root") if isinstance(dataset, dict) else None
    variable = FROM_ENVIRONMENT.fullmatch(str(root))
    if variable:
        cfg.dataset.root = os.environ.get(variable[1])


@contextmanager
def _only_computing() -> Iterator[None]:
    """Within, resolvers that look at more than the config, or change something, refuse.

    These are all of OmegaConf's, Hydra's and ours that do.
    """

    def refuse(*arguments: Any) -> None:
        raise UserError(
            "the config of a run's folder may neither read the environment nor make folders"
            " (${oc.env:...}, ${new_run_dir:...})"
        )

    for name in ("oc.env", "new_run_dir"):
        OmegaConf.register_new_resolver(name, refuse, replace=True)
    try:
        yield
    finally:
        OmegaConf.register_new_resolver("oc.env", oc.env, replace=True)
        register_resolvers()


def _forget_weights(node: DictConfig, path: str) -> None:
    """Let a node load no weights and fetch nothing: the run's checkpoint holds all weights."""
    known = parameters(find_callable(node._target_, path)) or {}
    for key, nothing in PRETRAINED.items():
        default = known[key].default if key in known else nothing
        value = node.get(key, default)
        if value and value is not inspect.Parameter.empty and not OmegaConf.is_config(value):
            node[key] = nothing
    for key, value in node.items():
        if isinstance(value, str) and OF_A_HUB.match(value):
            raise UserError(f"{path}.{key}={value} would fetch a network from outside")
