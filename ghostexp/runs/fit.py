"""The training and the test of what a config built, and what the record learns from them."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytorch_lightning as pl
from pytorch_lightning.callbacks import ModelCheckpoint, WeightAveraging
from torch import Tensor

from ghostexp.config.build import Parts
from ghostexp.config.explain import UserError
from ghostexp.config.mistakes import refusals_of_lightning
from ghostexp.data.folder import BadFile
from ghostexp.results.record import Record
from ghostexp.runs.load import load_checkpoint
from ghostexp.runs.machine import describe_device
from ghostexp.training.callbacks import KeepRecord
from ghostexp.training.callbacks.keep_record import logged
from ghostexp.training.hyperparameters import hyperparameters, log_hyperparameters
from ghostexp.training.trackers import end_trackers
from ghostexp.training.watching import going_on, sentence


@contextmanager
def _users_data() -> Iterator[None]:
    """What data or values do to a training in its midst, as one sentence."""
    try:
        yield
    except FloatingPointError as error:  # a task's: its loss is no longer finite
        raise UserError(str(error)) from error
    except BadFile as error:  # a worker process puts its traceback before the sentence
        sentence = str(error).strip().splitlines()[-1].rpartition(f"{BadFile.__name__}: ")[2]
        raise UserError(f"dataset: {sentence}") from error


@refusals_of_lightning()
@_users_data()
def fit_and_test(parts: Parts, record: Record, checkpoint: Path | None) -> None:
    """Train, from `checkpoint` if there is one, and test; `record` learns what came out."""
    trainer = parts.trainer
    with _trackers_ended(trainer):
        _begin_loggers(trainer, record)
        _fit_and_test(parts, record, checkpoint)


def _begin_loggers(trainer: pl.Trainer, record: Record) -> None:
    """Give the config to every logger; `UserError` where one cannot begin.

    An error that comes later is only told, because a training is worth more than its curves.
    """
    for logger in trainer.loggers:
        try:
            getattr(logger, "experiment", None)  # Lightning begins it there, within the fit
        except Exception as error:
            raise UserError(
                f"{type(logger).__name__} cannot begin: {sentence(error)} Mend this, or choose"
                " other loggers, such as logger=default"
            ) from error
        logger.log_hyperparams(record["config"])


@contextmanager
def _trackers_ended(trainer: pl.Trainer) -> Iterator[None]:
    """End what loggers hold open, whatever becomes of the block."""
    exit_code = 1
    try:
        yield
        exit_code = 0
    finally:
        with going_on("the end of a logger"):
            end_trackers(trainer, exit_code)


def _fit_and_test(parts: Parts, record: Record, checkpoint: Path | None) -> None:
    trainer = parts.trainer
    trainer.fit(parts.task, datamodule=parts.datamodule, ckpt_path=checkpoint, weights_only=True)
    record["device"] = describe_device(trainer)  # Lightning divided the threads among processes
    for callback in trainer.callbacks:
        if isinstance(callback, KeepRecord):
            record |= callback.facts  # also after a fit that had nothing left to do
    _place_reported(parts, _select(parts, record))
    trainer.test(parts.task, datamodule=parts.datamodule, verbose=False)
    record["metrics"] |= logged(trainer)
    chosen = hyperparameters(record["config"], record["choices"], record["swept"])
    log_hyperparameters(trainer, chosen, record["metrics"], record.get("best") or {})


def _select(parts: Parts, record: Record) -> dict[str, Tensor] | None:
    """Weights of the epoch chosen on the validation split, or None for the last; never by the test.

    The last as well where no epoch was chosen among, such as by `callbacks.best.every_n_epochs=9`.
    """
    trainer = parts.trainer
    record["selected"] = {"rule": "last epoch", "epoch": trainer.current_epoch}
    for best in trainer.checkpoint_callbacks:
        if isinstance(best, ModelCheckpoint) and best.monitor and best.best_model_path:
            checkpoint = load_checkpoint(Path(best.best_model_path))
            epoch = checkpoint["epoch"] + 1
            record["selected"] = {"rule": f"best {best.monitor}", "epoch": epoch}
            record["best"] = {best.monitor: float(best.best_model_score)}
            return checkpoint["state_dict"]
    return None


def _place_reported(parts: Parts, weights: dict[str, Tensor] | None) -> None:
    """Put the weights into the network that are reported: the given ones, or the last ones.

    A moving average is reported in place of the weights that were trained. Lightning would test the
    trained ones of the file, and a fit that has nothing left to do does not place its average.
    """
    if weights is not None:
        parts.task.load_state_dict(weights)
        return
    for callback in parts.trainer.callbacks:
        if isinstance(callback, WeightAveraging):
            callback.on_train_end(parts.trainer, parts.task)
