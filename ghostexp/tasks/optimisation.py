"""Optimizer and schedule of a task, and the step that a plateau schedule misses on a resume.

A task holds `net`, and what its config says: `optimizer`, called with parameter groups; `sched`,
Lightning's scheduler entry, whose `scheduler` is called with the optimizer, and with `total_steps`
when its interval is `step`; `param_groups`, which turns the network into the groups.
"""

from typing import Any

import pytorch_lightning as pl


def configured(task: pl.LightningModule) -> dict[str, Any]:
    """What `configure_optimizers` returns."""
    optimizer = task.optimizer(task.param_groups(task.net))
    scheduler = task.sched["scheduler"]
    if task.sched["interval"] == "step":
        built = scheduler(optimizer, total_steps=int(task.trainer.estimated_stepping_batches))
    else:
        built = scheduler(optimizer)
    return {"optimizer": optimizer, "lr_scheduler": {**task.sched, "scheduler": built}}


def save_monitored(task: pl.LightningModule, checkpoint: dict[str, Any]) -> None:
    """Keep the metric that the schedule looks at, for a checkpoint older than its step."""
    if monitor := task.sched.get("monitor"):
        checkpoint["monitored"] = float(task.trainer.callback_metrics[monitor])


def do_missed_step(task: pl.LightningModule, monitored: float | None) -> None:
    """Do the scheduler's step after the checkpoint, for which Lightning has no metric."""
    if monitored is not None:
        task.lr_schedulers().step(monitored)
