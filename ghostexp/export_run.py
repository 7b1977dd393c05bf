"""A finished run as a file to deploy, loaded in its real engine and compared with what was trained.

The comparison is on the run's validation images, or training images where it has none; the test
split is only reported on. Both networks go through the run's own task and metrics, in float32 on
the CPU.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from math import ceil
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ghostexp import __version__
from ghostexp.build import Parts, users_mistakes
from ghostexp.cli import UserError
from ghostexp.deploy.engines import load_engine
from ghostexp.deploy.export import (
    SUFFIXES,
    Form,
    to_onnx,
    write_onnx,
    write_openvino,
    write_program,
)
from ghostexp.deploy.fuse import FoldedGhost, batch_norms, fuse
from ghostexp.deploy.quantize import Quantized, quantize
from ghostexp.layers.ghost import GhostModule
from ghostexp.load import load_run, reported_checkpoint
from ghostexp.results.record import Record, read_record

COMPARED = 512  # images
CALIBRATED = 128
TOLERANCE = 1e-4  # of the largest logit, for float32
MAX_DROP = 0.005  # of the accuracy on the compared images, for every other precision

Loader = Callable[[], Any]


@dataclass(frozen=True)
class Seen:
    """Inputs and logits of a network as its task fed it, and the task's metrics."""

    inputs: Tensor
    logits: Tensor
    metrics: dict[str, float]


@dataclass(frozen=True)
class Export:
    """A written file beside the trained network; `before` and `after` are metrics of both."""

    path: Path
    precision: str
    engine: str
    folded: int  # batch norms
    left: int
    source: str  # of the compared images
    images: int
    difference: float  # largest, of a logit
    largest: float  # logit of the trained network
    other_class: float  # share of the images
    before: dict[str, float]
    after: dict[str, float]
    quantized: Quantized | None

    @property
    def mismatch(self) -> str | None:
        """The sentence on what differs by more than it may, if anything does."""
        if self.precision == "fp32":
            if self.difference <= TOLERANCE * self.largest:
                return None
            return (
                f"a logit differs by {self.difference:.2g}, more than {TOLERANCE:g} of the largest,"
                f" {self.largest:.3g}"
            )
        key = next(key for key in self.before if not key.startswith("test/") and _is_accuracy(key))
        drop = self.before[key] - self.after[key]
        if drop <= MAX_DROP:
            return None
        return f"{key} drops by {100 * drop:.2f} points, more than {100 * MAX_DROP:g}"


def export_run(directory: Path, form: Form, path: Path | None, *, force: bool = False) -> Export:
    """Write the network of a run as `form` says, to `path` or into the run's folder, and compare.

    Nothing is loaded where `path` exists and `force` is not given. What was written stays, whatever
    the comparison says.
    """
    path = path or directory / "export" / f"{form.format}_{form.precision}{SUFFIXES[form.format]}"
    _check_path(path, form, force)
    record = read_record(directory) or {}
    if "dataset" not in record:
        raise UserError(f"{directory} has no record with class names")
    _, parts = load_run(directory)
    net = parts.task.net.eval()
    with users_mistakes("dataset"):
        parts.datamodule.prepare_data()
        parts.datamodule.setup("fit")
    loader, source = _compared(parts)
    trained = _see(parts, net, loader, COMPARED)
    with users_mistakes("model"):
        fused = fuse(net)
    metadata = form.metadata | _metadata(directory, record)
    quantized = None
    if form.precision == "int8":
        quantized = _quantize(parts, net, fused, trained, form)
    _write(fused, quantized, trained.inputs[:2], form, path, metadata)
    engine = load_engine(path)
    deployed = _see(parts, engine, loader, COMPARED)
    return Export(
        path=path,
        precision=form.precision,
        engine=engine.name,
        folded=len(batch_norms(net)),
        left=len(batch_norms(fused)),
        source=source,
        images=len(trained.inputs),
        difference=float((deployed.logits - trained.logits).abs().max()),
        largest=float(trained.logits.abs().max()),
        other_class=_share_of_other_classes(trained, deployed),
        before=_of(source, trained.metrics) | _test(parts, net),
        after=_of(source, deployed.metrics) | _test(parts, engine),
        quantized=quantized,
    )


def _check_path(path: Path, form: Form, force: bool) -> None:
    suffix = SUFFIXES[form.format]
    if path.suffix != suffix:
        raise UserError(f"a file of {form.format} ends in {suffix}, not as {path}")
    if path.exists() and not force:
        raise UserError(f"{path} exists: --force replaces it, --output names another")


def _compared(parts: Parts) -> tuple[Loader, str]:
    data = parts.datamodule
    if data.has_validation:
        return data.val_dataloader, "validation"
    return data.train_dataloader, "training"


class _OnCpu(nn.Module):
    """A network or engine in float32 on the CPU, wherever and in whatever the trainer computes."""

    def __init__(self, call: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.call = (call,)  # no submodule, which the trainer would move

    def forward(self, inputs: Tensor) -> Tensor:
        with torch.autocast(inputs.device.type, enabled=False):
            return self.call[0](inputs.float().cpu()).to(inputs.device)


def _see(parts: Parts, call: Callable[[Tensor], Tensor], loader: Loader, count: int) -> Seen:
    """What `call` makes of `count` images of a loader, in the place of the task's network."""
    pairs: list[tuple[Tensor, Tensor]] = []
    parts.task.net = _OnCpu(call)
    parts.task.net.register_forward_hook(
        lambda net, inputs, logits: pairs.append((inputs[0].float().cpu(), logits.cpu()))
    )
    parts.datamodule.val_dataloader = loader  # normalised, not augmented
    parts.trainer.limit_val_batches = ceil(count / parts.datamodule.batch_size)
    (metrics,) = parts.trainer.validate(parts.task, datamodule=parts.datamodule, verbose=False)
    inputs, logits = (torch.cat(tensors) for tensors in zip(*pairs, strict=True))
    return Seen(inputs, logits, metrics)


def _test(parts: Parts, call: Callable[[Tensor], Tensor]) -> dict[str, float]:
    parts.task.net = _OnCpu(call)
    (metrics,) = parts.trainer.test(parts.task, datamodule=parts.datamodule, verbose=False)
    return metrics


def _quantize(
    parts: Parts, net: nn.Module, fused: nn.Module, trained: Seen, form: Form
) -> Quantized:
    """Calibrate on training images; measure on the compared ones that are not among them."""
    held_out = trained.inputs
    if parts.datamodule.has_validation:
        calibration = _see(parts, net, parts.datamodule.train_dataloader, CALIBRATED).inputs
    else:
        count = min(CALIBRATED, len(held_out) // 2)
        calibration, held_out = held_out[:count], held_out[count:]
    ghosts = (GhostModule, FoldedGhost)
    layers = [name for name, module in fused.named_modules() if isinstance(module, ghosts)]
    model = to_onnx(fused, trained.inputs[:2], form)
    return quantize(model, calibration[:CALIBRATED], held_out, layers)


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


def _metadata(directory: Path, record: Record) -> dict[str, str]:
    """What whoever deploys the file must know; every value is text, lists and mappings JSON."""
    dataset = dict(record["config"]["dataset"])
    dataset.pop("root", None)  # of this machine
    metadata = {
        "ghostexp": __version__,
        "run": str(record["run"]),
        "digest": record["digest"],
        "checkpoint": reported_checkpoint(directory).name,
        "class_names": json.dumps(record["dataset"]["class_names"]),
        "input_shape": json.dumps(record["network"]["input_shape"]),
        "dataset": json.dumps(dataset),
    }
    augment = dataset.get("augment") or {}
    if "mean" in augment:  # images: pixels / 255, less the mean, over the deviation
        metadata |= {key: json.dumps(augment[key]) for key in ("mean", "std")}
    return metadata


def _of(source: str, metrics: dict[str, float]) -> dict[str, float]:
    """Metrics under the name of the images that they are of."""
    return {f"{source}/{key.removeprefix('val/')}": value for key, value in metrics.items()}


def _share_of_other_classes(trained: Seen, deployed: Seen) -> float:
    other = trained.logits.argmax(dim=1) != deployed.logits.argmax(dim=1)
    return float(other.float().mean())


def _is_accuracy(key: str) -> bool:
    return key.rpartition("/")[2] in ("acc", "map")
