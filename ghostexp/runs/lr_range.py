"""A learning-rate range test: a short training whose rate rises until its loss diverges.

"Cyclical Learning Rates for Training Neural Networks", Smith 2017, section 3.3,
https://arxiv.org/abs/1506.01186. Lightning's Tuner.lr_find does it too, but gives all parameter
groups one rate, and wants an attribute `lr` of the task.
"""

import csv
import io
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from omegaconf import DictConfig, OmegaConf, open_dict

from ghostexp.config.build import build_parts
from ghostexp.config.explain import UserError
from ghostexp.config.mistakes import refusals_of_lightning, users_mistakes
from ghostexp.files.atomic import write_text
from ghostexp.pictures.lr_range import lr_range_figure
from ghostexp.runs.machine import describe_device, use_allowed_cores
from ghostexp.training.callbacks.rising_rate import RisingRate

LEAST_STEPS = 20
WINDOW = 0.1  # share of the steps that the loss is smoothed over
NEAR = 0.2  # share of the whole fall
CONSTANT = {
    "scheduler": {"_target_": "ghostexp.training.optim.constant", "_partial_": True},
    "interval": "epoch",
    "frequency": 1,
}


@dataclass(frozen=True)
class RateRange:
    """Losses at rising learning rates; `suggestion` is None where the loss did not fall."""

    rates: list[float]
    losses: list[float]
    smoothed: list[float]
    suggestion: float | None
    diverged: bool
    device: str


def measure_lr_range(cfg: DictConfig, *, low: float, high: float, steps: int) -> RateRange:
    """Train the network of an audited `cfg` for `steps` steps, with rates from `low` to `high`.

    The rates are `optimizer.lr`; augmentation, loss, precision and accumulation are the config's.
    Its schedule, callbacks and loggers are left out, and no run is made. `UserError` for values
    that cannot be a range.
    """
    if not 0 < low < high:
        raise UserError(f"the lowest rate must be above 0 and below the highest: {low}, {high}")
    if steps < LEAST_STEPS:
        raise UserError(f"a curve needs at least {LEAST_STEPS} steps, not {steps}")
    use_allowed_cores()
    rising = RisingRate(np.geomspace(low, high, steps).tolist())
    parts = build_parts(_only_training(cfg, steps), extra=[rising])
    if not parts.task.optimizer.keywords.get("lr"):
        raise UserError("optimizer.lr must be a number above 0, from which the range test starts")
    with users_mistakes("dataset"):
        parts.datamodule.prepare_data()
    try:
        with refusals_of_lightning():
            parts.trainer.fit(parts.task, datamodule=parts.datamodule)
    except FloatingPointError as error:  # the task's, where the loss is no longer finite
        if len(rising.losses) < LEAST_STEPS // 2:
            raise UserError(f"the loss diverges at once, from a rate of {low}: {error}") from error
    rates, losses = rising.rates[: len(rising.losses)], rising.losses
    mean = smoothed(losses)
    return RateRange(
        rates=rates,
        losses=losses,
        smoothed=mean,
        suggestion=steepest(rates, mean),
        diverged=len(losses) < steps,
        device=describe_device(parts.trainer),
    )


def smoothed(losses: list[float]) -> list[float]:
    """Means over a Hann window around each step, which moves the curve to neither side."""
    width = 2 * max(1, round(WINDOW * len(losses) / 2)) + 1
    window = np.hanning(width + 2)[1:-1]
    padded = np.pad(losses, width // 2, mode="edge")
    return (np.convolve(padded, window, mode="valid") / window.sum()).tolist()


def steepest(rates: list[float], losses: list[float]) -> float | None:
    """The rate at which a smooth loss falls fastest, per factor of the rate, on its last descent.

    The descent leads to the minimum, from where the loss was last near its level of the beginning:
    earlier slopes are the scatter of batches. None where the minimum is the beginning.
    """
    lowest = int(np.argmin(losses))
    if lowest < 2:
        return None
    level = float(np.median(losses[: max(2, lowest // 4)]))
    fall = level - losses[lowest]
    near = [step for step in range(lowest) if losses[step] >= level - NEAR * fall]
    start = max(near, default=0)
    slopes = np.gradient(losses[: lowest + 1], np.log(rates[: lowest + 1]))
    best = start + int(np.argmin(slopes[start:]))
    return rates[best] if fall > 0 and slopes[best] < 0 else None


def write_lr_range(found: RateRange, folder: Path) -> list[Path]:
    """Write `lr_range.csv` and `lr_range.png`; returns their paths."""
    table, picture = folder / "lr_range.csv", folder / "lr_range.png"
    folder.mkdir(parents=True, exist_ok=True)
    text = io.StringIO(newline="")
    rows = zip(found.rates, found.losses, found.smoothed, strict=True)
    csv.writer(text).writerows([("learning_rate", "loss", "smoothed"), *rows])
    write_text(table, text.getvalue())
    figure = lr_range_figure(found.rates, found.losses, found.smoothed, found.suggestion)
    figure.savefig(picture, dpi=120)
    return [table, picture]


def _only_training(cfg: DictConfig, steps: int) -> DictConfig:
    """`cfg` for a training of `steps` steps at whatever rate that keeps nothing."""
    quiet = cfg.copy()
    with open_dict(quiet):
        OmegaConf.resolve(quiet)  # others refer to the schedule and the epochs
        quiet.callbacks = quiet.logger = None
        quiet.sched = CONSTANT
        quiet.trainer.max_epochs = quiet.trainer.max_steps = steps
        quiet.trainer.limit_val_batches = 0
    return quiet
