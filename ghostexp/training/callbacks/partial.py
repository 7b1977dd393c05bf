"""A checkpoint within an epoch, from which a run goes on at that batch, bit for bit."""

import time
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.callbacks import Checkpoint, WeightAveraging

from ghostexp.training import stopping

# Lightning 2.6.5 leaves a validation out that a checkpoint was saved in or before, unless the
# progress of its loop says that a validation batch had begun and not ended
VALIDATION_LOOP = "epoch_loop.val_loop.batch_progress"
NOTHING_DONE = {"ready": 0, "started": 0, "processed": 0, "completed": 0}
VALIDATION_BEGAN = {
    "total": {**NOTHING_DONE, "ready": 1, "started": 1},
    "current": NOTHING_DONE,
    "is_last_batch": False,
}


class PartialCheckpoint(Checkpoint):
    """Saves `path` within an epoch: every so often, and where a signal ends the run.

    It is saved every `every_minutes` of an epoch, or every `every_n_steps` of the optimizer; null
    is never. A signal is `ghostexp.training.stopping`'s. At the epoch's end `last.ckpt` beside it
    goes further, and the file is removed.

    A batch follows from (seed, epoch, batch), so that nothing of it needs saving. The task saves
    what it sums within an epoch. This callback saves the metrics logged so far, and does on a
    resume what Lightning leaves out when it resumes within an epoch: the callbacks learn that the
    epoch starts, and a plateau schedule makes its step at the epoch's end.

    A validation is done again from its first batch. Gradients that accumulate are not saved: the
    checkpoint waits for the optimizer's step. Several processes save nothing within an epoch.
    """

    def __init__(
        self, path: str, *, every_minutes: float | None = 10, every_n_steps: int | None = None
    ) -> None:
        if every_minutes is not None and not every_minutes > 0:
            raise ValueError(f"every_minutes is a number above 0, or null, not {every_minutes}")
        if every_n_steps is not None and (not isinstance(every_n_steps, int) or every_n_steps < 1):
            raise ValueError(
                f"every_n_steps is a whole number of at least 1, or null, not {every_n_steps}"
            )
        self.path = Path(path)
        self.every_minutes = every_minutes
        self.every_n_steps = every_n_steps
        self.saved_at = 0.0  # seconds of the monotonic clock; also of an epoch's end
        self.steps = 0  # of the optimizer, when it was last looked at
        self.due = False
        self.saving = False
        self.metrics: dict[str, Any] = {}  # of the checkpoint that the fit goes on from
        self.resumes = False

    def on_load_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        self.metrics = checkpoint.get("metrics", {})

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self.saved_at = time.monotonic()
        self.steps = trainer.global_step
        self.resumes = trainer.fit_loop.restarted_mid_epoch
        if self.resumes:
            # which Lightning 2.6 leaves out where a schedule has asked for the number of steps
            trainer.fit_loop._load_combined_loader_states()
            _start_epoch(trainer)
            trainer.callback_metrics.update(self.metrics)

    def on_train_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        self._forget_resuming(trainer)

    def on_train_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
    ) -> None:
        if trainer.global_step == self.steps:  # gradients accumulate
            return
        self.steps = trainer.global_step
        self.due |= self._is_time() or stopping.requested()
        if self.due and not _ends_soon(trainer):
            self._save(trainer)

    def on_validation_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if trainer.sanity_checking or trainer.state.fn != "fit":
            return
        self._forget_resuming(trainer)
        if self.due or stopping.requested():
            self._save(trainer)
        stopping.check()

    def on_validation_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, *hook: Any
    ) -> None:
        if not stopping.requested() or trainer.sanity_checking or trainer.state.fn != "fit":
            return
        for callback in trainer.callbacks:
            if isinstance(callback, WeightAveraging):
                callback.on_validation_epoch_end(trainer, pl_module)  # the trained weights again
        self._save(trainer)
        stopping.check()

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self.saved_at = time.monotonic()
        self.due = False
        last = self.path.with_name("last.ckpt")
        if trainer.is_global_zero and self.path.exists() and _is_newer(last, self.path):
            self.path.unlink()

    def on_save_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        if not self.saving:
            return
        metrics = trainer.callback_metrics
        checkpoint["metrics"] = {name: value.detach().cpu() for name, value in metrics.items()}
        if trainer.validating:
            checkpoint["loops"]["fit_loop"][VALIDATION_LOOP] = VALIDATION_BEGAN

    def _is_time(self) -> bool:
        if self.every_n_steps is not None and self.steps % self.every_n_steps == 0:
            return True
        seconds = time.monotonic() - self.saved_at
        return self.every_minutes is not None and seconds >= 60 * self.every_minutes

    def _save(self, trainer: pl.Trainer) -> None:
        if trainer.world_size == 1 and not trainer.fast_dev_run:
            self.saving = True
            trainer.save_checkpoint(self.path, weights_only=False)
            self.saving = False
        self.saved_at = time.monotonic()
        self.due = False

    def _forget_resuming(self, trainer: pl.Trainer) -> None:
        """Let Lightning 2.6 end the epoch like any other, with a plateau schedule's step."""
        if self.resumes:
            trainer.fit_loop.on_iteration_done()
            self.resumes = False


def _ends_soon(trainer: pl.Trainer) -> bool:
    """Whether a validation or the epoch's end follows this batch, before the next one.

    From a checkpoint at such a batch Lightning 2.6 would leave them out.
    """
    loop = trainer.fit_loop.epoch_loop
    validates = loop._should_check_val_fx(trainer.fit_loop._data_fetcher)
    return validates or trainer.is_last_batch or trainer.global_step == trainer.max_steps


def _is_newer(path: Path, other: Path) -> bool:
    return path.exists() and path.stat().st_mtime_ns >= other.stat().st_mtime_ns


def _start_epoch(trainer: pl.Trainer) -> None:
    """Do again what sets the callbacks and the task up for this epoch, and log none of it twice."""
    loggers, trainer.loggers = trainer.loggers, []
    for callback in trainer.callbacks:
        callback.on_train_epoch_start(trainer, trainer.lightning_module)
    trainer.lightning_module.on_train_epoch_start()
    trainer.loggers = loggers
