"""Test a network again on its data, and say whether the record of its run holds."""

from dataclasses import dataclass

import torch
from rich.table import Table
from torch import Tensor

from ghostexp.config.build import Parts
from ghostexp.config.explain import UserError
from ghostexp.runs.machine import describe_device
from ghostexp.runs.subject import Subject
from ghostexp.tasks import ClassificationTask

SPLITS = ("test", "val")
COCO_ROWS = {  # metric -> what, IoU, area of the objects, detections per image
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
    """What a network does on a split; `confusion` [true, predicted] counts examples.

    `accuracy` is the metric `headline`: acc, or a detector's map, which has no confusion.
    """

    split: str
    headline: str
    source: str
    epoch: int | None
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
    def correct(self) -> int:
        """Examples of a classifier's split that are recognised."""
        return int(self.confusion.diagonal().sum())

    @property
    def contradicts(self) -> bool:
        """Whether the record, made on the same device, says something else."""
        known = self.recorded_accuracy is not None and self.device == self.recorded_device
        return known and self.accuracy != self.recorded_accuracy


def evaluate(subject: Subject, split: str) -> Evaluation:
    """Metrics on the examples of `split`, test or val, as a training's own data give them.

    Of a classifier also its confusion, of a detector COCO's metrics and each class's.
    """
    parts = subject.parts
    if split == "val" and not parts.datamodule.has_validation:
        raise UserError(f"{subject.source}: no validation split, because dataset.val_split is 0")
    classifies = isinstance(parts.task, ClassificationTask)
    headline = "acc" if classifies else "map"
    predicted: list[Tensor] = []
    if classifies:
        watch = parts.task.net.register_forward_hook(
            lambda net, inputs, logits: predicted.append(logits.argmax(dim=1).cpu())
        )
    run = parts.trainer.test if split == "test" else parts.trainer.validate
    (metrics,) = run(parts.task, datamodule=parts.datamodule, verbose=False)
    if classifies:
        watch.remove()
    device = describe_device(parts.trainer)
    return Evaluation(
        split=split,
        headline=headline,
        source=subject.source,
        epoch=subject.epoch,
        device=device if subject.engine is None else f"{subject.engine}, {device}",
        recorded_device=subject.record.get("device"),
        recorded_accuracy=_recorded(subject.record, f"{split}/{headline}"),
        metrics=metrics,
        class_names=parts.datamodule.class_names,
        confusion=_confusion(parts, split, torch.cat(predicted)) if classifies else None,
    )


def sentences(evaluation: Evaluation) -> list[str]:
    """Weights, metrics, and how they compare with the record of the run, if there is one."""
    e = evaluation
    whole = {key: value for key, value in e.metrics.items() if "_of_" not in key}
    metrics = ", ".join(f"{key} {value:.4f}" for key, value in sorted(whole.items()))
    epoch = "" if e.epoch is None else f", epoch {e.epoch}"
    lines = [f"{e.source}{epoch}, on {e.device}", metrics]
    if e.confusion is not None:
        count = int(e.confusion.sum())
        lines.append(f"{e.correct:,} of {count:,} {e.split} examples are right")
    if e.epoch is None:
        return lines
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
    """A row per class: how many of its examples were recognised, and what they were taken for.

    Further metrics of single classes, such as F1, have their columns too.
    """
    table = Table(title=f"{evaluation.split} examples by class")
    table.add_column("class")
    further = _metrics_of_classes(evaluation)
    for name in ("examples", "accuracy", "precision", *further):
        table.add_column(name, justify="right")
    table.add_column("most often taken for")
    names, confusion = evaluation.class_names, evaluation.confusion
    for index, name in enumerate(names):
        count, guesses = int(confusion[index].sum()), int(confusion[:, index].sum())
        correct = int(confusion[index, index])
        mistakes = confusion[index].clone()
        mistakes[index] = 0
        most = int(mistakes.max())
        table.add_row(
            name,
            str(count),
            f"{correct / count:.2%}" if count else "-",
            f"{correct / guesses:.2%}" if guesses else "-",
            *(
                f"{evaluation.metrics[f'{evaluation.split}/{each}_of_{name}']:.4f}"
                for each in further
            ),
            f"{names[int(mistakes.argmax())]} ({most})" if most else "-",
        )
    return table


def _metrics_of_classes(evaluation: Evaluation) -> list[str]:
    """Names of the metrics of single classes that the table does not hold already."""
    end = f"_of_{evaluation.class_names[0]}"
    names = {key.removesuffix(end) for key in evaluation.metrics if key.endswith(end)}
    return sorted({name.partition("/")[2] for name in names} - {"precision", "recall"})


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
