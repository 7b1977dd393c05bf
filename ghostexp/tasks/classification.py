"""Classification: one label per image, cross-entropy, top-1 and top-5 accuracy."""

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torchmetrics import MeanMetric, MetricCollection
from torchmetrics.classification import MulticlassAccuracy, MulticlassConfusionMatrix

from ghostexp.tasks.task import Task

Batch = tuple[Tensor, Tensor]


class ClassificationTask(Task):
    """Trains `net` [N, C, H, W] -> logits [N, num_classes] on labels [N] or class shares [N, K].

    `cosines` says that `net` gives cosines, for a `loss` from ghostexp/training/losses.py. In
    evaluation the logits are then `loss.scale` times the cosines, without a margin.
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
        metrics = {"acc": MulticlassAccuracy(num_classes, average="micro")}
        if num_classes > 5:
            metrics["acc_top5"] = MulticlassAccuracy(num_classes, top_k=5, average="micro")
        self.val_metrics = MetricCollection(metrics, prefix="val/")
        self.test_metrics = MetricCollection(metrics, prefix="test/").clone()
        self.eval_loss = MeanMetric(nan_strategy="disable")  # a mean with NaN in it is NaN
        self.test_confusion = MulticlassConfusionMatrix(num_classes)

    @property
    def logged_metrics(self) -> set[str]:
        """Every metric that a callback or scheduler may monitor."""
        names = {"train/loss", "train/acc", "val/loss", "test/loss"}
        return names | set(self.val_metrics.keys()) | set(self.test_metrics.keys())

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
        logits, labels = self._evaluate(batch)
        self.val_metrics.update(logits, labels)
        self.log("val/loss", self.eval_loss)
        self.log_dict(self.val_metrics, prog_bar=True)

    def test_step(self, batch: Batch, batch_idx: int) -> None:
        logits, labels = self._evaluate(batch)
        self.test_metrics.update(logits, labels)
        self.test_confusion.update(logits, labels)
        self.log("test/loss", self.eval_loss)
        self.log_dict(self.test_metrics)

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
        images, labels = batch
        logits = self._logits(images)
        losses = nn.functional.cross_entropy(logits, labels, reduction="none")
        self.eval_loss.update(losses)  # of each image: "disable" takes no weights
        return logits, labels
