"""A network as a file to deploy: the way of a classifier, and the choice between the two ways.

The file is loaded in its real engine and compared with what was trained. The classifier is a run's,
or any weights in a network of conf/model. The file takes what the network takes: images or log-mel
spectrograms, normalised. The comparison is on examples drawn from the validation split, or from the
training examples where there is none, and on the test split. int8 is calibrated on training
examples and judged on the validation split. Where there is none, it is judged on other training
examples, and on the same ones where there is only one.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from omegaconf import OmegaConf
from torch import Tensor, nn

from ghostexp.config.explain import UserError
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
from ghostexp.runs.export_detector import DetectorExport, export_detector
from ghostexp.runs.load import data_record, saved_config
from ghostexp.runs.subject import Subject, is_override, known_task, metadata, subject_of
from ghostexp.tasks import DetectionTask

COMPARED = 512  # examples
CALIBRATED = 128  # training examples that give the ranges of int8
JUDGED = 384  # examples that judge which layers stay in float32


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


def export_run(
    words: list[str], form: Form, path: Path | None, *, force: bool = False
) -> Export | DetectorExport:
    """Write what `words` name (see `subject`) as `form` says, and compare.

    `path` None is a file in the run's folder. Nothing is loaded where `path` exists and `force` is
    not given. What was written stays, whatever the comparison says.
    """
    path = path or _default_path(words[0], form)
    _check_path(path, form, force)
    if _is_detector(words):
        return export_detector(words, form, path)
    return _export_classifier(words, form, path)


def _export_classifier(words: list[str], form: Form, path: Path) -> Export:
    subject = subject_of(words)
    parts = subject.parts
    data, net = parts.datamodule, parts.task.net.eval()
    with users_mistakes("dataset"):
        data.setup("fit")
    with users_mistakes("model"):
        fused = fuse(net)
    example = _inputs(data, data.train, 2)
    quantized = _quantize(fused, data, example, form) if form.precision == "int8" else None
    _write(fused, quantized, example, form, path, form.metadata | _metadata(words[0], subject))
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


def _default_path(word: str, form: Form) -> Path:
    if is_override(word):
        raise UserError("--output=FILE must say where the file goes: there is no run's folder")
    return Path(word) / "export" / f"{form.format}_{form.precision}{SUFFIXES[form.format]}"


def _check_path(path: Path, form: Form, force: bool) -> None:
    suffix = SUFFIXES[form.format]
    if path.suffix != suffix:
        raise UserError(f"a file of {form.format} ends in {suffix}, not as {path}")
    if path.exists() and not force:
        raise UserError(f"{path} exists: --force replaces it, --output names another")


def _is_detector(words: list[str]) -> bool:
    """Whether a detector is meant; `UserError` for what is no run, before anything is loaded."""
    if is_override(words[0]):
        return "task=detection" in words
    if Path(words[0]).is_file():
        raise UserError(f"{words[0]} is a file: give the run or the weights that it came from")
    directory = Path(words[0])
    task = known_task(saved_config(directory), directory)
    data_record(directory)
    return issubclass(task, DetectionTask)


def _batches(data: ClassificationData, loader: BatchLoader) -> Iterator[tuple[Tensor, Tensor]]:
    """The network's inputs, and labels."""
    for examples, labels in loader:
        yield data.augment.evaluate(examples), labels


def _inputs(data: ClassificationData, indices: Tensor, count: int) -> Tensor:
    """The network's inputs for at most `count` of the examples at `indices`."""
    loader = data.drawn_dataloader(indices, count)
    return torch.cat([inputs for inputs, _ in _batches(data, loader)])


def _quantize(fused: nn.Module, data: ClassificationData, example: Tensor, form: Form) -> Quantized:
    ghosts = (GhostModule, FoldedGhost)
    layers = [name for name, module in fused.named_modules() if isinstance(module, ghosts)]
    model = to_onnx(fused, example, form)
    with users_mistakes("--instructions"):
        return quantize(model, *int8_examples(data), layers, form.instructions)


def int8_examples(data: ClassificationData) -> tuple[Tensor, Tensor]:
    """Inputs to calibrate int8 with, and inputs to judge it by, however few there are."""
    if data.has_val:
        return _inputs(data, data.train, CALIBRATED), _inputs(data, data.val, JUDGED)
    known = _inputs(data, data.train, CALIBRATED + JUDGED)
    if len(known) == 1:
        return known, known
    calibration, others = known.tensor_split([max(1, len(known) // 4)])
    return calibration, others


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


def _metadata(word: str, subject: Subject) -> dict[str, str]:
    """What whoever deploys the file must know; every value is text, lists and mappings JSON.

    A softmax of `logit_scale` times the outputs are probabilities.
    """
    cfg, parts = subject.cfg, subject.parts
    augment = OmegaConf.to_container(cfg.dataset.augment)
    return metadata(word, subject) | {
        "inputs": _describe_inputs(list(parts.datamodule.input_shape), augment),
        "outputs": "cosines" if cfg.task.get("cosines") else "logits",
        "logit_scale": json.dumps(parts.task.logit_scale),
        "mean": json.dumps(augment["mean"]),
        "std": json.dumps(augment["std"]),
    }


def _describe_inputs(shape: list[int], augment: dict) -> str:
    """One sentence on preprocessing; its numbers are in the other values."""
    size = ", ".join(map(str, shape))
    if "log_mel" not in augment:
        kind = "grey" if shape[0] == 1 else "RGB"
        return f"float32 [N, {size}]: {kind} images, pixels from 0 to 1, less mean, over std"
    whose = "their own mean and deviation" if augment["mean"] is None else "mean, over std"
    return f"float32 [N, {size}]: log-mel spectrograms in decibels (see dataset), less {whose}"
