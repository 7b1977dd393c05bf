"""Test a finished run again, from its folder alone, and say whether its record holds."""

from dataclasses import dataclass
from pathlib import Path

import torch
from rich.table import Table
from torch import Tensor

from ghostexp.build import Parts
from ghostexp.cli import UserError
from ghostexp.experiment import describe_device
from ghostexp.load import load_checkpoint, load_run, reported_checkpoint
from ghostexp.results.record import read_record

SPLITS = ("test", "val")


@dataclass(frozen=True)
class Evaluation:
    """What a run's network does on a split; `confusion` [true, predicted] counts images."""

    split: str
    checkpoint: str
    epoch: int
    device: str
    recorded_device: str | None
    recorded_accuracy: float | None
    metrics: dict[str, float]
    confusion: Tensor
    class_names: list[str]

    @property
    def accuracy(self) -> float:
        return self.metrics[f"{self.split}/acc"]

    @property
    def contradicts(self) -> bool:
        """Whether the record, made on the same device, says something else."""
        known = self.recorded_accuracy is not None and self.device == self.recorded_device
        return known and self.accuracy != self.recorded_accuracy


def evaluate_run(directory: Path, split: str) -> Evaluation:
    """Metrics and confusion on the images of `split` (test or val) that the run itself used."""
    _, parts = load_run(directory)
    if split == "val" and not parts.datamodule.has_validation:
        raise UserError(f"{directory} has no validation split: its dataset.val_split is 0")
    predicted: list[Tensor] = []
    watch = parts.task.net.register_forward_hook(
        lambda net, images, logits: predicted.append(logits.argmax(dim=1).cpu())
    )
    evaluate = parts.trainer.test if split == "test" else parts.trainer.validate
    (metrics,) = evaluate(parts.task, datamodule=parts.datamodule, verbose=False)
    watch.remove()
    checkpoint = reported_checkpoint(directory)
    record = read_record(directory) or {}
    return Evaluation(
        split=split,
        checkpoint=checkpoint.name,
        epoch=load_checkpoint(checkpoint)["epoch"],
        device=describe_device(parts.trainer),
        recorded_device=record.get("device"),
        recorded_accuracy=_recorded(record, split),
        metrics=metrics,
        confusion=_confusion(parts, split, torch.cat(predicted)),
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


def _recorded(record: dict, split: str) -> float | None:
    """The record's accuracy on `split`, of the epoch that it reports."""
    key = f"{split}/acc"
    return (record.get("best") or {}).get(key, record.get("metrics", {}).get(key))


def _confusion(parts: Parts, split: str, predicted: Tensor) -> Tensor:
    """Counts [true, predicted] of predictions in the split's order, of as many as were made."""
    data = parts.datamodule
    indices = data.labelled_set.test if split == "test" else data.val
    labels = data.labelled_set.labels[indices[: len(predicted)]]
    count = data.num_classes
    pairs = torch.bincount(labels * count + predicted, minlength=count * count)
    return pairs.view(count, count)
