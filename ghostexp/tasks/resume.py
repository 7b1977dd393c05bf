"""Optimizer and schedule of a run that goes on, perhaps with other values or more epochs.

Every hyperparameter that the config can decide comes from the config of now, every memory from the
checkpoint. Memory is the state of each parameter (momentum, `exp_avg`), what an optimizer keeps in
its groups beside its hyperparameters, the number of steps of the schedule, and what a plateau
schedule has seen. The learning rate is where that many steps of a new schedule lead.
"""

from typing import Any

import pytorch_lightning as pl
from torch.optim import Optimizer
from torch.optim.lr_scheduler import ReduceLROnPlateau

from ghostexp.tasks import optimisation

Checkpoint = dict[str, Any]

OF_A_SCHEDULE = {  # what torch's schedules write into parameter groups
    *("lr", "initial_lr", "max_lr", "min_lr"),
    *("momentum", "betas", "max_momentum", "base_momentum"),
}
OF_A_PLATEAU = ("best", "num_bad_epochs", "cooldown_counter", "last_epoch")


def save(task: pl.LightningModule, checkpoint: Checkpoint) -> None:
    """Add what Lightning's checkpoint lacks for `restore_optimizer` and `restore_schedule`."""
    checkpoint["optimisation"] = {
        "optimizer": _name(task.trainer.optimizers[0]),
        "steps_per_epoch": optimisation.steps_per_epoch(task),
        "monitor": task.sched.get("monitor"),
        "missed": _missed_metric(task, checkpoint),
    }


def restored_optimizer(task: pl.LightningModule, checkpoint: Checkpoint) -> dict[str, Any]:
    """The checkpoint's optimizer state with the config's hyperparameters.

    ValueError with one sentence where the optimizer of the config cannot go on from the state.
    """
    optimizer, scheduler = optimisation.build(task, optimisation.SOME_STEPS)
    if not checkpoint.get("optimizer_states"):
        raise ValueError("the checkpoint holds weights only, no state of an optimizer")
    state = checkpoint["optimizer_states"][0]
    _check_fit(optimizer, state, (checkpoint.get("optimisation") or {}).get("optimizer"))
    decided = OF_A_SCHEDULE | optimisation.keywords(task.optimizer).keys()
    decided = decided.union(*task.param_groups(task.net)) - {"params"}
    groups = []
    for own, saved in zip(optimizer.param_groups, state["param_groups"], strict=True):
        group = {**saved, **{key: own[key] for key in own.keys() & decided}}
        if isinstance(scheduler, ReduceLROnPlateau) and saved.get("initial_lr"):
            group["lr"] = saved["lr"] * (own["initial_lr"] / saved["initial_lr"])
        groups.append(group)
    restored = {**state, "param_groups": groups}
    _check_step(task, optimizer, restored)
    return restored


def restore_schedule(task: pl.LightningModule, checkpoint: Checkpoint) -> None:
    """Bring the task's schedule, which is new, to where the checkpoint's was."""
    scheduler = task.lr_schedulers()
    saved, known = checkpoint["lr_schedulers"][0], (checkpoint.get("optimisation") or {})
    if isinstance(scheduler, ReduceLROnPlateau):
        _restore_plateau(task, scheduler, saved, known)
        return
    now = optimisation.steps_per_epoch(task)
    steps = round(saved["last_epoch"] * now / known.get("steps_per_epoch", now))
    for group, rate in zip(scheduler.optimizer.param_groups, scheduler.get_last_lr(), strict=True):
        group["lr"] = rate  # of step 0: torch's schedules go from one step to the next
    optimisation.advance(scheduler, steps)


def _restore_plateau(
    task: pl.LightningModule,
    scheduler: ReduceLROnPlateau,
    saved: dict[str, Any],
    known: dict[str, Any],
) -> None:
    rates = [group["lr"] for group in scheduler.optimizer.param_groups]
    scheduler.load_state_dict({"_last_lr": rates})
    same_metric = known.get("monitor") == task.sched["monitor"]
    if same_metric and saved.get("mode") == scheduler.mode:
        scheduler.load_state_dict({key: saved[key] for key in OF_A_PLATEAU})
        if known["missed"] is not None:
            scheduler.step(known["missed"])


def _missed_metric(task: pl.LightningModule, checkpoint: Checkpoint) -> float | None:
    """The metric of the plateau step that follows this checkpoint, if one does.

    Lightning does that step after the callbacks at an epoch's end, and so after the checkpoint.
    """
    epoch = checkpoint["loops"]["fit_loop"]["epoch_progress"]["current"]
    at_epoch_end = epoch["processed"] > epoch["completed"]
    steps_now = epoch["processed"] % task.sched.get("frequency", 1) == 0
    if isinstance(task.lr_schedulers(), ReduceLROnPlateau) and at_epoch_end and steps_now:
        metric = task.trainer.callback_metrics.get(task.sched["monitor"])
        return None if metric is None else float(metric)
    return None


def _check_fit(optimizer: Optimizer, state: dict[str, Any], trained_with: str | None) -> None:
    name = _name(optimizer)
    if trained_with not in (name, None):
        raise ValueError(
            f"optimizer._target_: the run was trained with {trained_with}, and {name} cannot go on"
            " from its state: keep the optimizer, or start a new run"
        )
    ours, theirs = (
        [len(group["params"]) for group in groups]
        for groups in (optimizer.param_groups, state["param_groups"])
    )
    if ours != theirs:
        raise ValueError(
            f"task.param_groups: the run was trained with {_counted(theirs)}, and this config"
            f" gives {_counted(ours)}: keep task.param_groups, or start a new run"
        )


def _check_step(task: pl.LightningModule, optimizer: Optimizer, state: dict[str, Any]) -> None:
    """A step from the state of one parameter finds values that need what the state lacks."""
    for own, group in zip(optimizer.param_groups, state["param_groups"], strict=True):
        for parameter, index in zip(own["params"], group["params"], strict=True):
            memory = state["state"].get(index)
            if not memory:
                continue
            try:
                optimisation.try_a_step(task, own, parameter, memory)
            except KeyError as error:
                raise ValueError(
                    f"optimizer: the values of this config need {error} for each parameter, which"
                    f" the run's checkpoint lacks (it has {', '.join(memory)}): keep the options"
                    " of the optimizer, or start a new run"
                ) from error
            return


def _name(optimizer: Optimizer) -> str:
    return f"{type(optimizer).__module__}.{type(optimizer).__qualname__}"


def _counted(sizes: list[int]) -> str:
    groups = "parameter groups" if len(sizes) > 1 else "parameter group"
    return f"{len(sizes)} {groups} ({', '.join(map(str, sizes))} parameters)"
