"""Checks of a config before anything is built from it: is it sound, and may it be trusted?

audit(cfg, sources)           a composed config: keys, values, names, contradictions
audit_saved(cfg, directory)   the config in the folder of a run, which somebody else may have made

Both look at the resolved config, so an interpolation hides nothing. The nodes' own checks are in
ghostexp/config/nodes.py.
"""

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import pytorch_lightning as pl
from omegaconf import DictConfig, OmegaConf, open_dict
from omegaconf.errors import OmegaConfBaseException
from omegaconf.resolvers import oc
from pytorch_lightning.loggers import Logger

from ghostexp.config.augmentation import check_files, check_word
from ghostexp.config.contradictions import check_contradictions
from ghostexp.config.directories import check_name, register_resolvers
from ghostexp.config.explain import UserError, explain
from ghostexp.config.nodes import (
    GROUPS,
    Tree,
    check_keys,
    check_nodes,
    check_root,
    check_value,
    check_values,
)
from ghostexp.config.pretrained import forget_weights, settings_of_hubs
from ghostexp.config.targets import targets
from ghostexp.config.values import fits, is_open, shown

COLLECTIONS: dict[str, type] = {"callbacks": pl.Callback, "logger": Logger}  # group -> of its nodes
TOP_LEVEL = {  # key -> what its value is
    "allow_targets": list[str],
    "name": Any,  # see check_name
    "notes": str | None,
    "on_error": Literal["continue", "stop"],
    "rerun": bool,
    "resume": str | None,
    "run_dir": str,
    "seed": int,
    "tags": list[str],
    "title": str | None,
}
STAND_IN = 2  # classes of a data set whose classes are counted later
MAX_SEED = 2**32 - 1  # of Lightning's seed_everything, as numpy's
FROM_ENVIRONMENT = re.compile(r"\$\{oc\.env:\s*(\w+)\s*\}")


def audit(cfg: DictConfig, sources: list[Path], augmentation: str | None = None) -> None:
    """`UserError` for the first mistake of a composed config.

    `sources` are folders with YAML files, to name the file that an unknown key stands in.
    `augmentation` is the chosen file of conf/augment.
    """
    audited = cfg.copy()
    if OmegaConf.is_missing(audited, "run_dir"):
        with open_dict(audited):
            audited.run_dir = "RUN_DIR"
    if OmegaConf.select(audited, "dataset.num_classes", default=0) is None:
        audited.dataset.num_classes = STAND_IN  # the data say it later
    for resolve in (False, True):  # a wrong value is told by its own key, not by what follows of it
        tree = _plain(audited, resolve=resolve)
        check_keys(tree, {*TOP_LEVEL, *GROUPS, *COLLECTIONS, "sched"}, "", sources)
        check_values(tree, TOP_LEVEL, "")
        _check_seed(tree.get("seed"))
        _check_folder(tree.get("name"))
        _check_epochs(tree.get("trainer"))
        check_files(tree.get("dataset"))
        check_nodes(tree, sources)
        for group, base in COLLECTIONS.items():
            nodes = tree.get(group) or {}
            check_value(nodes, dict, group)
            for name, node in nodes.items():
                if node is not None:
                    check_root(node, f"{group}.{name}", base, sources)
    check_word(cfg.dataset, augmentation)
    check_contradictions(cfg)


def audit_saved(cfg: DictConfig, directory: Path, source: Path) -> None:
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
            check_nodes(_plain(cfg, resolve=True), [])
            _check_seed(cfg.get("seed"))
            for path, node in targets(cfg):
                forget_weights(node, path)
                for setting in settings_of_hubs(node, path):
                    raise UserError(f"{setting} would fetch a network from outside")
    except OmegaConfBaseException as error:
        raise UserError(f"{source}: {explain(error)}") from error
    except ValueError as error:  # a mistake that is told, or a model that torchvision does not know
        raise UserError(f"{source}: {error}") from error


def _plain(cfg: DictConfig, *, resolve: bool) -> Tree:
    try:
        tree = OmegaConf.to_container(cfg, resolve=resolve)
    except OmegaConfBaseException as error:
        raise UserError(explain(error)) from error
    if resolve and (left := _interpolation(tree)):
        raise UserError(f"{left}: an interpolation may not yield another interpolation")
    return tree


def _interpolation(tree: Any) -> str | None:
    """A text in the resolved `tree` that would be resolved once more; None if there is none."""
    if isinstance(tree, dict | list):
        items = tree.values() if isinstance(tree, dict) else tree
        return next((left for item in items if (left := _interpolation(item))), None)
    return tree if isinstance(tree, str) and "${" in tree else None


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
