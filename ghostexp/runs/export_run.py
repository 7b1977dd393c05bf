"""A finished run as a file to deploy, loaded in its real engine and compared with what was trained.

The file takes what the network takes: images or log-mel spectrograms, normalised. The comparison is
on examples drawn from the run's validation split, or from its training examples where it has none,
and on its test split; int8 is calibrated and judged on training examples.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from omegaconf import DictConfig, OmegaConf
from torch import Tensor, nn

from ghostexp.config.build import Parts
from ghostexp.config.cli import UserError
from ghostexp.config.mistakes import users_mistakes
from ghostexp.data import BatchLoader, ClassificationData
from ghostexp.deploy.compare import Comparison, compare
from ghostexp.deploy.engines import load_engine
from ghostexp.deploy.export import (
    SUFFIXES,
    Form,
    to_onnx,
    write_onnx,
    write_openvino,
    write_program,
)
from ghostexp.deploy.fuse import batch_norms, fuse
from ghostexp.deploy.quantize import Quantized, quantize
from ghostexp.layers.folded_ghost import FoldedGhost
from ghostexp.layers.ghost import GhostModule
from ghostexp.results.record import Record
from ghostexp.runs.load import data_record, load_run, reported_checkpoint, task_class
from ghostexp.tasks import ClassificationTask

COMPARED = 512  # examples
CALIBRATED = 512  # a quarter of them give the ranges, the others judge what is left in float32


@dataclass(frozen=True)
class Export:
    """A written file beside the trained network."""

    path: Path
    precision: str
    engine: str
    folded: int  # batch norms
    left: int
    quantized: Quantized | None
    comparisons: list[Comparison]

    @property
    def mismatch(self) -> str | None:
        """The sentence on what differs by more than it may, if anything does."""
        complaints = (comparison.complaint(self.precision) for comparison in self.comparisons)
        return next((complaint for complaint in complaints if complaint), None)


def export_run(directory: Path, form: Form, path: Path | None, *, force: bool = False) -> Export:
    """Write the network of a run as `form` says, to `path` or into the run's folder, and compare.

    Nothing is loaded where `path` exists and `force` is not given. What was written stays, whatever
    the comparison says.
    """
    path = path or directory / "export" / f"{form.format}_{form.precision}{SUFFIXES[form.format]}"
    _check_path(path, form, force)
    record = _record(directory)
    cfg, parts = load_run(directory)
    data, net = parts.datamodule, parts.task.net.eval()
    with users_mistakes("dataset"):
        data.setup("fit")
    with users_mistakes("model"):
        fused = fuse(net)
    examples = _inputs(data, CALIBRATED if form.precision == "int8" else 2)
    quantized = _quantize(fused, examples, form) if form.precision == "int8" else None
    metadata = form.metadata | _metadata(directory, record, cfg, parts)
    _write(fused, quantized, examples[:2], form, path, metadata)
    engine = load_engine(path)
    split, indices = ("validation", data.val) if data.has_val else ("training", data.train)
    loaders = {split: data.drawn_dataloader(indices, COMPARED), "test": data.test_dataloader()}
    return Export(
        path=path,
        precision=form.precision,
        engine=engine.name,
        folded=len(batch_norms(net)),
        left=len(batch_norms(fused)),
        quantized=quantized,
        comparisons=[
            compare(name, _batches(data, loader), net, engine) for name, loader in loaders.items()
        ],
    )


def _check_path(path: Path, form: Form, force: bool) -> None:
    suffix = SUFFIXES[form.format]
    if path.suffix != suffix:
        raise UserError(f"a file of {form.format} ends in {suffix}, not as {path}")
    if path.exists() and not force:
        raise UserError(f"{path} exists: --force replaces it, --output names another")


def _record(directory: Path) -> Record:
    task = task_class(directory)
    if not issubclass(task, ClassificationTask):
        raise UserError(
            f"{directory} is of {task.__name__}: only classifiers are exported, a detector"
            f" resizes its images and selects its boxes in Python"
        )
    return data_record(directory)


def _batches(data: ClassificationData, loader: BatchLoader) -> Iterator[tuple[Tensor, Tensor]]:
    """The network's inputs, and labels."""
    for examples, labels in loader:
        yield data.augment.evaluate(examples), labels


def _inputs(data: ClassificationData, count: int) -> Tensor:
    """The network's inputs for at most `count` training examples."""
    return torch.cat(
        [inputs for inputs, _ in _batches(data, data.drawn_dataloader(data.train, count))]
    )


def _quantize(fused: nn.Module, examples: Tensor, form: Form) -> Quantized:
    calibration, held_out = examples.tensor_split([len(examples) // 4])
    ghosts = (GhostModule, FoldedGhost)
    layers = [name for name, module in fused.named_modules() if isinstance(module, ghosts)]
    return quantize(to_onnx(fused, examples[:2], form), calibration, held_out, layers)


def _write(
    fused: nn.Module,
    quantized: Quantized | None,
    example: Tensor,
    form: Form,
    path: Path,
    metadata: dict[str, str],
) -> None:
    if form.format == "torch_export":
        write_program(fused, example, form, path, metadata)
        return
    model = quantized.model if quantized else to_onnx(fused, example, form)
    write = write_onnx if form.format == "onnx" else write_openvino
    write(model, path, metadata)


def _metadata(directory: Path, record: Record, cfg: DictConfig, parts: Parts) -> dict[str, str]:
    """What whoever deploys the file must know; every value is text, lists and mappings JSON.

    A softmax of `logit_scale` times the outputs are probabilities.
    """
    dataset = OmegaConf.to_container(cfg.dataset)
    dataset.pop("root", None)  # of this machine
    augment = dataset["augment"]
    shape = list(parts.datamodule.input_shape)
    return {
        "run": directory.resolve().name,
        "digest": str(record.get("digest")),
        "revision": str(record["git"].get("revision")),
        "checkpoint": reported_checkpoint(directory).name,
        "class_names": json.dumps(record["dataset"]["class_names"]),
        "inputs": _describe_inputs(shape, augment),
        "input_shape": json.dumps(shape),
        "outputs": "cosines" if cfg.task.get("cosines") else "logits",
        "logit_scale": json.dumps(parts.task.logit_scale),
        "mean": json.dumps(augment["mean"]),
        "std": json.dumps(augment["std"]),
        "dataset": json.dumps(dataset),
    }


def _describe_inputs(shape: list[int], augment: dict) -> str:
    """One sentence on preprocessing; its numbers are in the other values."""
    size = ", ".join(map(str, shape))
    if "log_mel" not in augment:
        kind = "grey" if shape[0] == 1 else "RGB"
        return f"float32 [N, {size}]: {kind} images, pixels from 0 to 1, less mean, over std"
    whose = "their own mean and deviation" if augment["mean"] is None else "mean, over std"
    return f"float32 [N, {size}]: log-mel spectrograms in decibels (see dataset), less {whose}"
