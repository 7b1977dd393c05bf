"""Nodes of a plain config: is each key known, does each value fit, may each name stand there?

A node is a mapping with a `_target_`: one call with its keyword arguments. What may be named is in
ghostexp/config/targets.py, what a value may be in ghostexp/config/values.py.
"""

import inspect
from math import isfinite
from pathlib import Path
from typing import Any, Literal

import pytorch_lightning as pl
from torch import nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from ghostexp.config.explain import UserError, did_you_mean
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
MAX_FILES = 3  # in a sentence: a key of many files is no rare slip of one


def check_nodes(tree: Tree, sources: list[Path]) -> None:
    """Every node that a training or a script builds, from the groups down."""
    for group, base in GROUPS.items():
        check_root(tree.get(group), group, base, sources)
    sched = tree.get("sched")
    if not isinstance(sched, dict):
        raise UserError(f"sched is {shown(sched)}: choose one of conf/sched")
    check_keys(sched, set(SCHED), "sched", sources)
    check_values(sched, SCHED, "sched")
    check_root(sched.get("scheduler"), "sched.scheduler", LRScheduler, sources)
    for path, node in (("optimizer", tree["optimizer"]), ("sched.scheduler", sched["scheduler"])):
        _check_finite(node, path)


def check_root(node: Any, path: str, base: type, sources: list[Path]) -> None:
    """A node that must be there, and must make an object of `base`."""
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
        check_value(node.get(key, False), bool, f"{path}.{key}")
    annotations = {name: parameter.annotation for name, parameter in known.items()}
    if known and not _takes_any_keyword(known):
        given = GIVEN_BY_CODE.get(path, set())
        check_keys(node, (set(known) | HYDRA_KEYS) - given, path, sources)
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
                check_value(value, wanted, f"{path}.{key}")
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


def check_values(tree: Tree, wanted: dict[str, Any], path: str) -> None:
    """`check_value` for the keys of `wanted` that `tree` has."""
    for key, annotation in wanted.items():
        if key in tree:
            check_value(tree[key], annotation, f"{path}.{key}" if path else key)


def check_value(value: Any, wanted: Any, path: str) -> None:
    """`UserError` unless `value` can be an argument that is annotated with `wanted`."""
    if value == "???":
        raise UserError(f"{path} needs a value: {describe(wanted)}")
    if not fits(value, wanted):
        raise UserError(f"{path} must be {describe(wanted)}, not {shown(value)}")


def _check_finite(value: Any, path: str) -> None:
    """`UserError` for NaN or infinity: torch's optimizers and schedules compare with `<` only."""
    if isinstance(value, dict):
        for key, item in value.items():
            _check_finite(item, f"{path}.{key}")
    elif isinstance(value, list):
        for index, item in enumerate(value):
            _check_finite(item, f"{path}.{index}")
    elif isinstance(value, float) and not isfinite(value):
        raise UserError(f"{path} must be a finite number, not {value}")


def check_keys(node: Tree, known: set[str], path: str, sources: list[Path]) -> None:
    """`UserError` for the first key of `node` that is not `known`."""
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
