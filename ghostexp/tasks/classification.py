"""Classification: one label per image, a loss on logits or cosines, accuracy and other metrics."""

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torchmetrics import Metric
from torchmetrics.classification import MulticlassConfusionMatrix

from ghostexp.tasks.metrics import ANY_CLASS, LossMean, SplitMetrics
from ghostexp.tasks.task import Task

Batch = tuple[Tensor, Tensor]


class ClassificationTask(Task):
    """Trains `net` [N, C, H, W] -> logits [N, num_classes] on labels [N] or class shares [N, K].

    `cosines` says that `net` gives cosines, for a `loss` from ghostexp/training/losses.py. In
    evaluation the logits are then `loss.scale` times the cosines.

    `val/loss` and `test/loss` are the same `loss`, with its label smoothing and class weights, as a
    mean over all images of the split. The loss is in evaluation mode, as the network is: there the
    losses with a margin leave it out, and are the cross-entropy of the logits.

    `metrics` are further metrics by name; `ghostexp.tasks.metrics` says what they take and give.
    `ghostexp.tasks.optimisation` explains `optimizer`, `sched` and `param_groups`.
    """

    def __init__(
        self,
        net: nn.Module,
        *,
        num_classes: int,
        loss: nn.Module,
        optimizer: Callable[..., Optimizer],
        sched: dict[str, Any],
        param_groups: Callable[[nn.Module], Iterable[dict[str, Any]]],
        cosines: bool = False,
        metrics: dict[str, Metric | None] | None = None,
        channels_last: bool = True,
        compile: bool = False,
    ) -> None:
        memory_format = torch.channels_last if channels_last else torch.contiguous_format
        super().__init__(
            net.to(memory_format=memory_format),
            optimizer=optimizer,
            sched=sched,
            param_groups=param_groups,
        )
        if compile:
            self.net.compile()  # in place: the keys of the state dict stay
        self.loss = loss
        self.num_classes = num_classes
        self.logit_scale = loss.scale if cosines else 1.0
        self.memory_format = memory_format
        added = {name: metric for name, metric in (metrics or {}).items() if metric is not None}
        self.val_metrics = SplitMetrics("val", num_classes, added)
        self.test_metrics = SplitMetrics("test", num_classes, added)
        self.eval_loss = LossMean()
        self.test_confusion = MulticlassConfusionMatrix(num_classes)

    @property
    def logged_metrics(self) -> set[str]:
        """Every metric that a callback or scheduler may monitor; `*` stands for a class."""
        return self.metrics_of([ANY_CLASS])

    def metrics_of(self, class_names: list[str]) -> set[str]:
        names = {"train/loss", "train/acc", "val/loss", "test/loss"}
        return names | self.val_metrics.names(class_names) | self.test_metrics.names(class_names)

    def best_is_high(self, logged: str) -> bool | None:
        split, _, name = logged.partition("/")
        if name in ("loss", "acc"):
            return name == "acc"
        return (self.val_metrics if split == "val" else self.test_metrics).best_is_high(logged)

    def forward(self, images: Tensor) -> Tensor:
        return self.net(images.to(memory_format=self.memory_format))

    def trial_loss(self, images: Tensor) -> Tensor:
        """Training loss of images [N, C, H, W], with made-up labels."""
        labels = torch.arange(len(images), device=images.device) % self.num_classes
        return self.loss(self(images).float(), labels)

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        images, targets = batch
        logits = self(images).float()  # or cosines: the same one is largest
        loss = self.loss(logits, targets)
        with torch.no_grad():
            labels = targets if targets.ndim == 1 else targets.argmax(dim=1)
            correct = (logits.argmax(dim=1) == labels).sum()
            count = len(images)
            self.train_means.add(count, {"train/loss": loss * count, "train/acc": correct})
        logs_now = (self.trainer.global_step + 1) % self.trainer.log_every_n_steps == 0
        self._stop_at_lost_sum(loss, batch_idx, waits=logs_now or self.trainer.is_last_batch)
        if logs_now:  # Lightning writes it then
            self.log("train/loss_step", loss, sync_dist=True)
        return loss

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        self.val_metrics.update(*self._evaluate(batch))
        self.log("val/loss", self.eval_loss)

    def on_validation_epoch_end(self) -> None:
        self._log_metrics(self.val_metrics)

    def test_step(self, batch: Batch, batch_idx: int) -> None:
        logits, labels = self._evaluate(batch)
        self.test_metrics.update(logits, labels)
        self.test_confusion.update(logits, labels)
        self.log("test/loss", self.eval_loss)

    def on_test_epoch_end(self) -> None:
        self._log_metrics(self.test_metrics)

    def predict_step(self, batch: Tensor, batch_idx: int) -> Tensor:
        return self._logits(batch).softmax(dim=1)

    def _stop_at_lost_sum(self, loss: Tensor, batch_idx: int, *, waits: bool) -> None:
        """The sum of an epoch keeps a NaN, so a GPU is asked only where the step waits for it."""
        if self.device.type == "cpu":
            self.stop_at_lost_loss(loss, f"batch {batch_idx + 1}", {"loss": loss})
        elif waits:
            batch = f"batch {batch_idx + 1} or one before it"
            self.stop_at_lost_loss(self.train_means.sums["train/loss"], batch, {"loss": loss})

    def _logits(self, images: Tensor) -> Tensor:
        return self.logit_scale * self(images).float()

    def _evaluate(self, batch: Batch) -> Batch:
        """Logits and labels of a batch, whose loss is added up."""
        images, labels = batch
        outputs = self(images).float()  # logits, or cosines
        self.eval_loss.update(self.loss(outputs, labels), self._weight(labels))
        return self.logit_scale * outputs, labels

    def _weight(self, labels: Tensor) -> Tensor | int:
        """What the images of a batch count together: torch divides its loss by their weights."""
        weights = self.loss.weight if isinstance(self.loss, nn.CrossEntropyLoss) else None
        return len(labels) if weights is None else weights[labels].sum()

    def _log_metrics(self, metrics: SplitMetrics) -> None:
        data = self.trainer.datamodule
        names = data.class_names if data is not None else list(map(str, range(self.num_classes)))
        self.log_dict(metrics.compute(names), sync_dist=True)
