"""Metrics that a config monitors: do they exist, are they validated, and is the direction right?

A monitor is `callbacks.NAME.monitor` of a checkpoint or of early stopping, and `sched.monitor` of
the plateau schedule. Metrics of single classes bear the names of the classes: these are known when
the data have been read, hence `check_monitor` comes before that and `check_class_monitors` after.
"""

from fnmatch import fnmatchcase

import pytorch_lightning as pl
from omegaconf import DictConfig

from ghostexp.config.explain import UserError, did_you_mean

BETTER = {"max": True, "min": False}
OF_LIBRARIES = (  # what has `mode: min` where the config does not say it
    *("pytorch_lightning.callbacks.ModelCheckpoint", "pytorch_lightning.callbacks.EarlyStopping"),
    "torch.optim.lr_scheduler.ReduceLROnPlateau",
)


def check_monitor(path: str, node: DictConfig, task: pl.LightningModule) -> None:
    """`UserError` where the monitor of a node names no metric of the task, or the wrong mode."""
    monitor = node.get("monitor")
    if monitor is None:
        return
    if not any(fnmatchcase(monitor, name) for name in task.logged_metrics):
        near = did_you_mean(monitor, task.logged_metrics)
        raise UserError(f"{path}.monitor={monitor}: the task logs no such metric{near}")
    if monitor.startswith("test/"):
        raise UserError(
            f"{path}.monitor={monitor} is measured after the training, which it can therefore not"
            f" decide: monitor val/{monitor.removeprefix('test/')} with dataset.val_split above 0"
        )
    _check_mode(path, node, task)


def check_validated(path: str, node: DictConfig, validates: bool) -> None:
    """`UserError` where a node monitors a metric of a validation that does not take place."""
    if lacks_validation(node, validates):
        raise UserError(
            f"{path}.monitor={node.monitor} needs a validation split: set dataset.val_split above"
            " 0, and trainer.limit_val_batches not to 0"
        )


def check_class_monitors(cfg: DictConfig, task: pl.LightningModule, class_names: list[str]) -> None:
    """`UserError` where a node monitors the metric of a class that the data do not have."""
    known = task.metrics_of(class_names)
    nodes = {f"callbacks.{name}": node for name, node in (cfg.get("callbacks") or {}).items()}
    for path, node in (nodes | {"sched": cfg.sched}).items():
        monitor = None if node is None else node.get("monitor")
        if monitor is not None and monitor not in known:
            near = did_you_mean(monitor, known)
            raise UserError(f"{path}.monitor={monitor}: the data have no such class{near}")


def lacks_validation(node: DictConfig, validates: bool) -> bool:
    """Whether a node monitors a metric of a validation that does not take place."""
    return str(node.get("monitor")).startswith("val/") and not validates


def _check_mode(path: str, node: DictConfig, task: pl.LightningModule) -> None:
    """Refuse `mode: max` for a loss, and `mode: min` for an accuracy."""
    place, holder = (f"{path}.scheduler", node.scheduler) if path == "sched" else (path, node)
    default = "min" if str(holder.get("_target_")).startswith(OF_LIBRARIES) else None
    mode, high = holder.get("mode", default), task.best_is_high(node.monitor)
    if mode in BETTER and high is not None and BETTER[mode] != high:
        word, wanted = ("high", "max") if high else ("low", "min")
        raise UserError(
            f"{place}.mode={mode}, but {node.monitor} is best where it is {word}: give"
            f" {place}.mode={wanted}"
        )
