"""What all tasks have in common: optimizer, schedule, and a stop if the loss is not finite."""

from collections.abc import Callable, Iterable
from typing import Any

import pytorch_lightning as pl
import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.utils.hooks import RemovableHandle

from ghostexp.layers.narrow_maps import exact_on_narrow_maps
from ghostexp.tasks import optimisation, resume
from ghostexp.tasks.epoch_means import EpochMeans


class Task(pl.LightningModule):
    """Trains `net`; `ghostexp.tasks.optimisation` explains `optimizer`, `sched`, `param_groups`.

    A subclass adds the steps of training, validation and test, `trial_loss(images)`, the training
    loss of images whose targets are made up, and `logged_metrics`, the names of all metrics that
    may be monitored. A run that goes on takes its values from its
    config and its memory from its checkpoint, as `ghostexp.tasks.resume` says.
    """

    def __init__(
        self,
        net: nn.Module,
        *,
        optimizer: Callable[..., Optimizer],
        sched: dict[str, Any],
        param_groups: Callable[[nn.Module], Iterable[dict[str, Any]]],
    ) -> None:
        super().__init__()
        self.net = net
        self.optimizer = optimizer
        self.sched = sched
        self.param_groups = param_groups
        self.train_means = EpochMeans()
        self.goes_on_from: dict[str, Any] | None = None  # a checkpoint, until the training starts
        self.hooks: list[RemovableHandle] = []  # only while a trainer runs: fuse refuses some

    def setup(self, stage: str) -> None:
        self.hooks = exact_on_narrow_maps(self.net)

    def teardown(self, stage: str) -> None:
        for hook in self.hooks:
            hook.remove()
        self.hooks = []

    def metrics_of(self, class_names: list[str]) -> set[str]:
        """Every metric that may be monitored where the classes of the data have these names."""
        return self.logged_metrics

    def best_is_high(self, logged: str) -> bool | None:
        """Whether a logged metric is best where it is high; None where nobody knows."""
        return False if logged.endswith("/loss") else None

    def check_optimisation(self) -> None:
        """ValueError with one sentence for a value that optimizer or schedule refuse."""
        optimisation.check(self)

    def check_resume(self, checkpoint: dict[str, Any]) -> None:
        """ValueError with one sentence where the optimizer cannot go on from a checkpoint."""
        resume.restored_optimizer(self, checkpoint)

    def configure_optimizers(self) -> dict[str, Any]:
        optimizer, scheduler = optimisation.build(self, optimisation.total_steps(self))
        return {"optimizer": optimizer, "lr_scheduler": {**self.sched, "scheduler": scheduler}}

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        if not self.trainer.interrupted:  # an error's checkpoint is for looking at
            self._stop_at_lost_weights()
        resume.save(self, checkpoint)
        if self.train_means.within_epoch:
            self.train_means.save(checkpoint)

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        self.train_means.load(checkpoint)
        if self.trainer.state.fn == "fit":
            self.goes_on_from = {
                key: checkpoint.get(key) for key in ("lr_schedulers", "optimisation")
            }
            checkpoint["optimizer_states"] = [resume.restored_optimizer(self, checkpoint)]
            checkpoint["lr_schedulers"] = []  # the schedule of this config is stepped instead

    def on_train_start(self) -> None:
        if self.goes_on_from is not None:
            resume.restore_schedule(self, self.goes_on_from)
            self.goes_on_from = None

    def on_train_epoch_start(self) -> None:
        self.train_means.start()

    def on_train_epoch_end(self) -> None:
        self.log_dict(self.train_means.end(self.trainer), sync_dist=True)

    def stop_at_lost_loss(self, loss: Tensor, batch: str, terms: dict[str, Tensor]) -> None:
        """FloatingPointError if `loss` is NaN or infinite; `batch` and `terms` say where."""
        if not torch.isfinite(loss):
            values = ", ".join(f"{name} {value.item():.4g}" for name, value in terms.items())
            self._stop(
                f"the loss of epoch {self.current_epoch + 1}, {batch} is not finite ({values})"
            )

    def _stop_at_lost_weights(self) -> None:
        """A checkpoint of such weights would take the place of one that a run can go on from."""
        finite = [torch.isfinite(value).all() for value in self.net.state_dict().values()]
        if not torch.stack(finite).all():
            self._stop(f"the weights are not finite in epoch {self.current_epoch + 1}")

    def _stop(self, what: str) -> None:
        raise FloatingPointError(
            f"{what}: a smaller optimizer.lr or trainer.gradient_clip_val may help"
        )
