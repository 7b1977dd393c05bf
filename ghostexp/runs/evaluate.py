"""Test a finished run again, from its folder alone, and say whether its record holds."""

from dataclasses import dataclass, replace
from pathlib import Path

import torch
from rich.table import Table
from torch import Tensor

from ghostexp.config.build import Parts
from ghostexp.config.cli import UserError
from ghostexp.runs.load import (
    load_checkpoint,
    load_run,
    read_run_record,
    reported_checkpoint,
)
from ghostexp.runs.machine import describe_device

SPLITS = ("test", "val")
COCO_ROWS = {  # metric -> what, IoU, area of the objects, detections an image
    "map": ("average precision", "0.50:0.95", "all", "100"),
    "map_50": ("average precision", "0.50", "all", "100"),
    "map_75": ("average precision", "0.75", "all", "100"),
    "map_small": ("average precision", "0.50:0.95", "small", "100"),
    "map_medium": ("average precision", "0.50:0.95", "medium", "100"),
    "map_large": ("average precision", "0.50:0.95", "large", "100"),
    "mar_1": ("average recall", "0.50:0.95", "all", "1"),
    "mar_10": ("average recall", "0.50:0.95", "all", "10"),
    "mar_100": ("average recall", "0.50:0.95", "all", "100"),
    "mar_small": ("average recall", "0.50:0.95", "small", "100"),
    "mar_medium": ("average recall", "0.50:0.95", "medium", "100"),
    "mar_large": ("average recall", "0.50:0.95", "large", "100"),
}


@dataclass(frozen=True)
class Evaluation:
    """What a run's network does on a split; `confusion` [true, predicted] counts images.

    `accuracy` is the metric `headline`: acc, or a detector's map, which has no confusion.
    """

    split: str
    headline: str
    checkpoint: str
    epoch: int
    device: str
    recorded_device: str | None
    recorded_accuracy: float | None
    metrics: dict[str, float]
    class_names: list[str]
    confusion: Tensor | None = None

    @property
    def accuracy(self) -> float:
        return self.metrics[f"{self.split}/{self.headline}"]

    @property
    def contradicts(self) -> bool:
        """Whether the record, made on the same device, says something else."""
        known = self.recorded_accuracy is not None and self.device == self.recorded_device
        return known and self.accuracy != self.recorded_accuracy


def evaluate_run(directory: Path, split: str) -> Evaluation:
    """Metrics and confusion on the images of `split` (test or val) that the run itself used."""
    parts = _parts(directory, split)
    predicted: list[Tensor] = []
    watch = parts.task.net.register_forward_hook(
        lambda net, images, logits: predicted.append(logits.argmax(dim=1).cpu())
    )
    evaluation = _evaluate(directory, parts, split, "acc")
    watch.remove()
    return replace(evaluation, confusion=_confusion(parts, split, torch.cat(predicted)))


def evaluate_detector(directory: Path, split: str) -> Evaluation:
    """COCO's metrics, and each class's, on the images of `split` that the run itself used."""
    return _evaluate(directory, _parts(directory, split), split, "map")


def _parts(directory: Path, split: str) -> Parts:
    _, parts = load_run(directory)
    if split == "val" and not parts.datamodule.has_validation:
        raise UserError(f"{directory} has no validation split: its dataset.val_split is 0")
    return parts


def _evaluate(directory: Path, parts: Parts, split: str, headline: str) -> Evaluation:
    evaluate = parts.trainer.test if split == "test" else parts.trainer.validate
    (metrics,) = evaluate(parts.task, datamodule=parts.datamodule, verbose=False)
    checkpoint = reported_checkpoint(directory)
    record = read_run_record(directory)
    return Evaluation(
        split=split,
        headline=headline,
        checkpoint=checkpoint.name,
        epoch=int(load_checkpoint(checkpoint).get("epoch", -1)) + 1,  # Lightning counts from 0
        device=describe_device(parts.trainer),
        recorded_device=record.get("device"),
        recorded_accuracy=_recorded(record, f"{split}/{headline}"),
        metrics=metrics,
        class_names=parts.datamodule.class_names,
    )


def sentences(evaluation: Evaluation) -> list[str]:
    """Checkpoint, metrics, and how they compare with the record."""
    e = evaluation
    metrics = ", ".join(f"{key} {value:.4f}" for key, value in sorted(e.metrics.items()))
    lines = [f"{e.checkpoint}, epoch {e.epoch}, on {e.device}", metrics]
    if e.recorded_accuracy is None:
        lines.append(f"result.json holds no {e.split} accuracy")
    elif e.accuracy == e.recorded_accuracy:
        lines.append(f"result.json says {e.recorded_accuracy:.4f}: equal")
    else:
        lines.append(
            f"result.json says {e.recorded_accuracy:.4f}, which differs by"
            f" {e.accuracy - e.recorded_accuracy:+.2g}; it was computed on {e.recorded_device}"
        )
    return lines


def class_table(evaluation: Evaluation) -> Table:
    """A row a class: how many of its images were recognised, and what they were taken for."""
    table = Table(title=f"{evaluation.split} images by class")
    table.add_column("class")
    for name in ("images", "accuracy", "precision"):
        table.add_column(name, justify="right")
    table.add_column("most often taken for")
    names, confusion = evaluation.class_names, evaluation.confusion
    for index, name in enumerate(names):
        images, guesses = int(confusion[index].sum()), int(confusion[:, index].sum())
        correct = int(confusion[index, index])
        mistakes = confusion[index].clone()
        mistakes[index] = 0
        most = int(mistakes.max())
        table.add_row(
            name,
            str(images),
            f"{correct / images:.2%}" if images else "-",
            f"{correct / guesses:.2%}" if guesses else "-",
            f"{names[int(mistakes.argmax())]} ({most})" if most else "-",
        )
    return table


def coco_table(evaluation: Evaluation) -> Table:
    """COCO's twelve numbers, in the order of its own evaluation; `-` where no object is."""
    table = Table(title=f"COCO's metrics on the {evaluation.split} images")
    for name in ("", "IoU", "area", "detections"):
        table.add_column(name)
    table.add_column("", justify="right")
    for name, what in COCO_ROWS.items():
        value = evaluation.metrics.get(f"{evaluation.split}/{name}")
        table.add_row(*what, "-" if value is None else f"{value:.4f}")
    return table


def precision_table(evaluation: Evaluation) -> Table:
    """Mean average precision of each class; `-` for one without an object."""
    table = Table("class", title=f"{evaluation.split} images by class")
    table.add_column("mAP", justify="right")
    for name in evaluation.class_names:
        value = evaluation.metrics.get(f"{evaluation.split}/map_of_{name}")
        table.add_row(name, "-" if value is None else f"{value:.4f}")
    return table


def _recorded(record: dict, key: str) -> float | None:
    """The record's value of a metric, of the epoch that it reports."""
    return (record.get("best") or {}).get(key, (record.get("metrics") or {}).get(key))


def _confusion(parts: Parts, split: str, predicted: Tensor) -> Tensor:
    """Counts [true, predicted] of predictions in the split's order, of as many as were made."""
    data = parts.datamodule
    indices = data.labelled_set.test if split == "test" else data.val
    labels = data.labelled_set.labels[indices[: len(predicted)]]
    count = data.num_classes
    pairs = torch.bincount(labels * count + predicted, minlength=count * count)
    return pairs.view(count, count)
