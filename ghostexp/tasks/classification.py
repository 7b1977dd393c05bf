"""Classification: one label an image, cross-entropy, top-1 and top-5 accuracy."""

from collections.abc import Callable, Iterable
from typing import Any

import pytorch_lightning as pl
import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torchmetrics import MeanMetric, MetricCollection
from torchmetrics.classification import MulticlassAccuracy, MulticlassConfusionMatrix

from ghostexp.tasks import optimisation

Batch = tuple[Tensor, Tensor]


class ClassificationTask(pl.LightningModule):
    """Trains `net` [N, C, H, W] -> logits [N, num_classes] on labels [N] or class shares [N, K].

    `cosines` says that `net` gives cosines, for a `loss` from ghostexp/training/losses.py:
    evaluation takes `loss.scale` times them as logits, without a margin.
    `optimizer`, `sched` and `param_groups` as in `ghostexp.tasks.optimisation`.
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
        super().__init__()
        memory_format = torch.channels_last if channels_last else torch.contiguous_format
        self.net = net.to(memory_format=memory_format)
        if compile:
            self.net.compile()  # in place: the keys of the state dict stay
        self.loss = loss
        self.logit_scale = loss.scale if cosines else 1.0
        self.optimizer = optimizer
        self.sched = sched
        self.param_groups = param_groups
        self.memory_format = memory_format
        metrics = {"acc": MulticlassAccuracy(num_classes, average="micro")}
        if num_classes > 5:
            metrics["acc_top5"] = MulticlassAccuracy(num_classes, top_k=5, average="micro")
        self.val_metrics = MetricCollection(metrics, prefix="val/")
        self.test_metrics = MetricCollection(metrics, prefix="test/").clone()
        self.eval_loss = MeanMetric()
        self.test_confusion = MulticlassConfusionMatrix(num_classes)
        self.train_sums = torch.zeros(3)  # loss, correct, images; a metric object costs 1 ms a step
        self.missed_step: float | None = None

    @property
    def logged_metrics(self) -> set[str]:
        """Every metric that a callback or scheduler may monitor."""
        names = {"train/loss", "train/acc", "val/loss", "test/loss"}
        return names | set(self.val_metrics.keys()) | set(self.test_metrics.keys())

    def forward(self, images: Tensor) -> Tensor:
        return self.net(images.to(memory_format=self.memory_format))

    def on_train_epoch_start(self) -> None:
        self.train_sums = torch.zeros(3, device=self.device)

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        images, targets = batch
        logits = self(images).float()  # or cosines: the same one is largest
        loss = self.loss(logits, targets)
        with torch.no_grad():
            labels = targets if targets.ndim == 1 else targets.argmax(dim=1)
            correct = (logits.argmax(dim=1) == labels).sum()
            count = len(images)
            self.train_sums += torch.stack(
                [loss.detach() * count, correct, torch.full_like(correct, count)]
            )
        if (self.trainer.global_step + 1) % self.trainer.log_every_n_steps == 0:  # is written
            self.log("train/loss_step", loss, sync_dist=True)
        return loss

    def on_train_epoch_end(self) -> None:
        sums = self.trainer.strategy.reduce(self.train_sums, reduce_op="sum")  # over all processes
        loss, correct, count = sums.unbind()
        self.log_dict({"train/loss": loss / count, "train/acc": correct / count}, sync_dist=True)

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

    def configure_optimizers(self) -> dict[str, Any]:
        return optimisation.configured(self)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        optimisation.save_monitored(self, checkpoint)

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        self.missed_step = checkpoint.get("monitored")

    def on_train_start(self) -> None:
        optimisation.do_missed_step(self, self.missed_step)
        self.missed_step = None

    def _logits(self, images: Tensor) -> Tensor:
        return self.logit_scale * self(images).float()

    def _evaluate(self, batch: Batch) -> Batch:
        images, labels = batch
        logits = self._logits(images)
        self.eval_loss.update(nn.functional.cross_entropy(logits, labels), len(images))
        return logits, labels
