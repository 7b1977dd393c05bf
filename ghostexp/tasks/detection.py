"""Detection: boxes with labels in images, a detector's own losses, COCO's mean average precision.

A batch is (images, targets). Images are a list of [3, H, W] in [0, 1]. Targets are a list of
dictionaries with boxes [n, 4] xyxy in pixels, labels [n] from 1, area [n] and iscrowd [n]. In
evaluation a target may also have `size` [2], which is (height, width) of the image as it was
annotated. Then its area is in pixels of that image, and the metrics are computed in them.
"""

import logging
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torchmetrics.detection import MeanAveragePrecision

from ghostexp.tasks.task import Task

Target = dict[str, Tensor]
Batch = tuple[list[Tensor], list[Target]]

COCO_METRICS = (  # the twelve numbers of COCO's evaluation, in its order
    *("map", "map_50", "map_75", "map_small", "map_medium", "map_large"),
    *("mar_1", "mar_10", "mar_100", "mar_small", "mar_medium", "mar_large"),
)
OF_CLASS = "map_of_"
# COCO's own thresholds: torchmetrics' default ones are rounded to float32, which moves recalls such
# as 1/10 to the next threshold, by up to 1e-3 of mAP in small sets
IOU_THRESHOLDS = np.linspace(0.5, 0.95, 10).tolist()
RECALL_THRESHOLDS = np.linspace(0, 1, 101).tolist()


class DetectionTask(Task):
    """Trains a detector like torchvision's: (images, targets) -> losses, images -> detections.

    The sum of the losses is minimised, and each loss is logged. The metrics of validation and test
    are COCO's twelve and `map_of_<class>`. Metrics of sizes and classes that no object has are left
    out. `ghostexp.tasks.optimisation` explains `optimizer`, `sched` and `param_groups`.
    """

    def __init__(
        self,
        net: nn.Module,
        *,
        optimizer: Callable[..., Optimizer],
        sched: dict[str, Any],
        param_groups: Callable[[nn.Module], Iterable[dict[str, Any]]],
        channels_last: bool = True,
    ) -> None:
        memory_format = torch.channels_last if channels_last else torch.contiguous_format
        super().__init__(
            net.to(memory_format=memory_format),
            optimizer=optimizer,
            sched=sched,
            param_groups=param_groups,
        )
        self.val_map = _mean_average_precision()
        self.test_map = _mean_average_precision()

    @property
    def logged_metrics(self) -> set[str]:
        """Every metric that a callback or scheduler may monitor."""
        return {"train/loss"} | {f"{s}/{name}" for s in ("val", "test") for name in COCO_METRICS}

    def forward(self, images: list[Tensor]) -> list[Target]:
        return self.net(images)

    def trial_loss(self, images: Tensor) -> Tensor:
        """Training loss of images [N, 3, H, W], with one made-up box for each."""
        height, width = images.shape[-2:]
        box = torch.tensor([[0.0, 0.0, width / 2, height / 2]], device=images.device)
        label = torch.ones(1, dtype=torch.int64, device=images.device)
        return sum(self.net(list(images), [{"boxes": box, "labels": label}] * len(images)).values())

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        images, targets = batch
        losses = self.net(images, targets)
        loss = sum(losses.values())
        self.stop_at_lost_loss(loss, f"batch {batch_idx + 1}", losses)
        terms = {f"train/loss_{name.removeprefix('loss_')}": losses[name] for name in losses}
        count = len(images)
        sums = {name: term.detach() * count for name, term in {"train/loss": loss, **terms}.items()}
        self.train_means.add(count, sums)
        if (self.trainer.global_step + 1) % self.trainer.log_every_n_steps == 0:  # is written
            self.log("train/loss_step", loss)
        return loss

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        images, targets = batch
        self.val_map.update(*as_annotated(images, self(images), targets))

    def on_validation_epoch_end(self) -> None:
        self._log_metrics(self.val_map, "val")

    def test_step(self, batch: Batch, batch_idx: int) -> None:
        images, targets = batch
        self.test_map.update(*as_annotated(images, self(images), targets))

    def on_test_epoch_end(self) -> None:
        self._log_metrics(self.test_map, "test")

    def _log_metrics(self, metric: MeanAveragePrecision, stage: str) -> None:
        found = metric.compute()
        metric.reset()
        values = {name: found[name] for name in COCO_METRICS}
        labels, precisions = found["classes"].reshape(-1), found["map_per_class"].reshape(-1)
        names = self.trainer.datamodule.class_names
        for label, precision in zip(labels.tolist(), precisions, strict=True):
            values[f"{OF_CLASS}{names[label - 1]}"] = precision
        known = {f"{stage}/{name}": value for name, value in values.items() if value >= 0}
        self.log_dict(known, sync_dist=True)


def as_annotated(
    images: list[Tensor], detections: list[Target], targets: list[Target]
) -> tuple[list[Target], list[Target]]:
    """Detections and targets with their boxes in the pixels that were annotated.

    Images may be shrunk when they are read, but COCO calls objects small, medium or large by their
    annotated size.
    """
    scales = [_scale(image, target) for image, target in zip(images, targets, strict=True)]
    return _scaled(detections, scales), _scaled(targets, scales)


def _scaled(listed: list[Target], scales: list[Tensor]) -> list[Target]:
    return [
        each | {"boxes": each["boxes"] * scale.to(each["boxes"])}
        for each, scale in zip(listed, scales, strict=True)
    ]


def _scale(image: Tensor, target: Target) -> Tensor:
    """Factors [4] of (left, top, right, bottom) from an image's pixels to the annotated ones."""
    height, width = image.shape[1:]
    annotated = target.get("size", torch.tensor([height, width])).tolist()
    return torch.tensor([annotated[1] / width, annotated[0] / height] * 2)


def _mean_average_precision() -> MeanAveragePrecision:
    logging.getLogger("faster_coco_eval").setLevel(logging.WARNING)  # else a table for each class
    try:
        return MeanAveragePrecision(
            iou_thresholds=IOU_THRESHOLDS,
            rec_thresholds=RECALL_THRESHOLDS,
            class_metrics=True,
            backend="faster_coco_eval",
        )
    except ModuleNotFoundError as error:
        raise ValueError(
            "mean average precision needs faster-coco-eval: pip install 'ghostexp[detection]'"
        ) from error
