"""Optimizer and schedule of a task: built, and checked before any data loads.

A task holds `net`, and what its config says: `optimizer`, called with parameter groups; `sched`,
Lightning's scheduler entry, whose `scheduler` is called with the optimizer, and with `total_steps`
where it takes that and the config leaves it open; `param_groups`, which turns the network into the
groups. Every sentence here opens with the key of the config that it is about. Whether a value has
the type that its argument wants is checked before, with the config.
"""

import inspect
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from copy import deepcopy
from functools import partial
from math import ceil
from typing import Any

import pytorch_lightning as pl
import torch
from torch import nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler, ReduceLROnPlateau

SOME_STEPS = 1000  # a schedule's length where only its values are looked at


def build(task: pl.LightningModule, total_steps: int) -> tuple[Optimizer, LRScheduler]:
    """Optimizer and schedule of `total_steps`; ValueError with one sentence for a wrong value."""
    with _refusals("task.param_groups"):
        groups = list(task.param_groups(task.net))
    optimizer = build_optimizer(task, groups)
    for group in optimizer.param_groups:  # plateau schedules do not; a resumed run compares it
        group.setdefault("initial_lr", group["lr"])
    return optimizer, _build_schedule(task.sched, optimizer, total_steps)


def build_optimizer(task: pl.LightningModule, groups: list[dict[str, Any]]) -> Optimizer:
    """The optimizer of the config for these parameter groups."""
    with _refusals("optimizer"):
        optimizer = task.optimizer(groups)
    if not isinstance(optimizer, Optimizer):
        raise ValueError(f"optimizer: {type(optimizer).__name__} is no optimizer of torch's kind")
    closure = inspect.signature(optimizer.step).parameters.get("closure")
    if closure is not None and closure.default is inspect.Parameter.empty:
        raise ValueError(
            f"optimizer: {type(optimizer).__name__} computes the loss of a batch several times per"
            " step, which the metrics of a training do not allow: choose an optimizer such as SGD"
            " or AdamW"
        )
    return optimizer


def keywords(function: Callable[..., Any]) -> dict[str, Any]:
    """The values that a config gives to a callable that other code calls."""
    return function.keywords if isinstance(function, partial) else {}


def total_steps(task: pl.LightningModule) -> int:
    """How often the schedule counts in the whole training: once per batch or once per epoch."""
    if task.sched["interval"] == "step":
        return int(task.trainer.estimated_stepping_batches)
    return task.trainer.max_epochs


def steps_per_epoch(task: pl.LightningModule) -> float:
    """How often the schedule is stepped in an epoch."""
    steps = 1
    if task.sched["interval"] == "step":
        steps = ceil(task.trainer.num_training_batches / task.trainer.accumulate_grad_batches)
    return steps / task.sched.get("frequency", 1)


def check(task: pl.LightningModule) -> None:
    """ValueError for the first value that optimizer or schedule refuse, now or at a first step.

    The task and its network stay as they are, and no trainer is needed.
    """
    optimizer, scheduler = build(task, SOME_STEPS)
    group = next((group for group in optimizer.param_groups if group["params"]), None)
    if group is None:
        raise ValueError("model has no parameters to train")
    with _refusals("optimizer"):
        try_a_step(task, group, group["params"][0], {})
    if not isinstance(scheduler, ReduceLROnPlateau):
        with _refusals("sched.scheduler"):
            advance(scheduler, 1)


def advance(scheduler: LRScheduler, steps: int) -> None:
    """Let a schedule count `steps`, without steps of its optimizer; takes 3 microseconds each."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Detected call of `lr_scheduler.step")
        for _ in range(steps):
            scheduler.step()


def try_a_step(
    task: pl.LightningModule, group: dict[str, Any], parameter: nn.Parameter, state: dict[str, Any]
) -> None:
    """Step a parameter like `parameter` from its `state`: raises what the optimizer raises."""
    stand_in = nn.Parameter(torch.zeros_like(parameter))
    stand_in.grad = torch.zeros_like(stand_in)
    optimizer = build_optimizer(task, [{**group, "params": [stand_in]}])
    for own in optimizer.param_groups:
        if "capturable" in own:
            own["capturable"] = False  # is for CUDA graphs, and this step may be on a CPU
    if state:
        optimizer.state[stand_in] = deepcopy(state)
    optimizer.step()


def _build_schedule(sched: dict[str, Any], optimizer: Optimizer, steps: int) -> LRScheduler:
    schedule = sched["scheduler"]
    takes_steps = "total_steps" in inspect.signature(schedule).parameters
    left_open = sched["interval"] == "step" or "total_steps" not in keywords(schedule)
    with _refusals("sched.scheduler"):
        if takes_steps and left_open:
            built = schedule(optimizer, total_steps=steps)
        else:
            built = schedule(optimizer)
    if not isinstance(built, LRScheduler):
        raise ValueError(
            f"sched.scheduler: {type(built).__name__} is no schedule of torch's kind"
            " (torch.optim.lr_scheduler.LRScheduler)"
        )
    if isinstance(built, ReduceLROnPlateau):
        if not sched.get("monitor"):
            raise ValueError("sched.monitor must name the metric of ReduceLROnPlateau: val/loss")
        if sched["interval"] != "epoch":
            raise ValueError("sched.interval must be epoch for ReduceLROnPlateau, not step")
    return built


@contextmanager
def _refusals(key: str) -> Iterator[None]:
    """Whatever a component raises on its values, as a ValueError that names the key."""
    try:
        yield
    except Exception as error:
        if isinstance(error, ValueError) and str(error).startswith(f"{key}"):
            raise
        cause = str(error) if isinstance(error, ValueError) else f"{type(error).__name__}: {error}"
        raise ValueError(f"{key}: {cause}") from error
