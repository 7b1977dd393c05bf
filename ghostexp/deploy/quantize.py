"""Static int8 after training: ONNX's QDQ operators, one scale for each channel of a weight.

Made by ONNX Runtime's quantiser rather than torchao's (PT2E), because its file runs in ONNX Runtime
and in OpenVINO, while a PT2E program needs torch.compile and its compiler where it runs.
What a tool would ask the user for is measured instead, on images that are neither calibrated with
nor trained on where there are such:

    method   min-max, percentile or entropy, by the difference of the logits
    layers   if more than MAX_DISAGREEMENT of the predicted classes change, each layer is quantised
             alone, on RANKED images, and those that do most harm stay float32: the 1, 2, 4, ...
             worst, until it holds

The share of changed predictions bounds what accuracy can drop, and needs no labels.

Products of 8-bit maps (0 to 255) and 8-bit weights (-127 to 127) are added in pairs. Without the
instructions VNNI an x86 CPU keeps such a sum in 16 bits, and a sum of two large products is cut
off. Weights of 7 bits (-64 to 64) are right on every CPU: 2 * 255 * 64 fits. So the instructions
of the CPU that a file is for are chosen: "any" takes 7 bits, "vnni" takes 8.
"""

import ast
import platform
from collections.abc import Iterator, Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from torch import Tensor

from ghostexp.deploy.engines import INPUT, onnx_runtime

MAX_DISAGREEMENT = 0.005  # half a point
METHODS = {  # ONNX Runtime's name for the rule, and its settings
    "min-max": ("MinMax", {}),
    "percentile": ("Percentile", {"percentile": 99.99, "symmetric": False}),
    "entropy": ("Entropy", {}),
}
RANKED = 64  # images that each layer alone is measured on
BATCH = 32  # images at a time: a histogram method holds all maps of as many


@dataclass(frozen=True)
class Trial:
    """One way to quantise, measured.

    `error` is the difference of the logits over their size, both as norms; `disagreement` is the
    share of the images whose predicted class is another.
    """

    method: str
    float_layers: tuple[str, ...]
    error: float
    disagreement: float


@dataclass(frozen=True)
class Quantized:
    """An int8 ONNX model, how it was made, all that was tried, and how many layers it has."""

    model: bytes
    chosen: Trial
    trials: list[Trial]
    layers: int


def quantize(
    model: bytes,
    calibration: Tensor,
    held_out: Tensor,
    layers: Sequence[str],
    instructions: str = "any",
) -> Quantized:
    """Quantise a float32 ONNX model from images [N, ...], and measure on other ones, `held_out`.

    `layers` are the modules, by name, that are left in float as a whole, such as Ghost modules; a
    convolution or linear layer outside of them is one by itself. `instructions` "vnni" makes a
    model for CPUs that have VNNI, "any" for all. ValueError where this CPU cannot measure such a
    model, or where no images are given.
    """
    if instructions == "vnni" and not has_exact_int8():
        raise ValueError(
            "this CPU has no VNNI, so that an int8 model for VNNI cannot be measured here: use"
            " instructions=any, whose files run everywhere"
        )
    if not (len(calibration) and len(held_out)):
        raise ValueError("int8 needs at least one image to calibrate and one to measure with")
    quantizer = _Quantizer(model, layers, reduce_range=instructions == "any")
    judge = _Judge(quantizer, held_out)
    for method in METHODS:
        quantizer.calibrate(method, calibration)
    trials = [judge.measure(method, ()) for method in METHODS]
    best = min(trials, key=lambda trial: trial.error)
    if best.disagreement > MAX_DISAGREEMENT:
        trials += judge.spare_worst(best.method)
        tried = [trial for trial in trials if trial.method == best.method]
        best = min(tried, key=lambda t: (max(t.disagreement, MAX_DISAGREEMENT), t.error))
    int8 = quantizer.build(best.method, best.float_layers)
    return Quantized(int8, best, trials, len(quantizer.groups))


def quantize_plainly(model: bytes, calibration: Tensor) -> bytes:
    """Every layer in int8, by min-max and unmeasured: for timing, where no trained weights are."""
    quantizer = _Quantizer(model, (), reduce_range=not has_exact_int8())
    quantizer.calibrate("min-max", calibration)
    return quantizer.build("min-max", ())


def has_exact_int8() -> bool:
    """Whether this CPU adds products of 8 bits exactly: x86 with VNNI, or another kind of CPU."""
    return platform.machine() not in ("x86_64", "AMD64") or torch.cpu._is_vnni_supported()


class _Quantizer:
    """One float32 model with its layers, and the range of every map by each method.

    `reduce_range` gives weights 7 bits.
    """

    def __init__(self, model: bytes, layers: Sequence[str], *, reduce_range: bool) -> None:
        from onnxruntime.quantization.quant_utils import load_model_with_shape_infer

        self.float_model = model
        self.reduce_range = reduce_range
        with TemporaryDirectory() as folder:
            path = Path(folder) / "model.onnx"
            path.write_bytes(model)
            self.proto = load_model_with_shape_infer(path)
        self.groups = _groups(self.proto, layers)
        self.ranges: dict[str, Any] = {}

    def calibrate(self, method: str, images: Tensor) -> None:
        """Find the range of every map by a method's rule."""
        from onnxruntime.quantization import CalibrationMethod, create_calibrator

        rule, options = METHODS[method]
        with TemporaryDirectory() as folder:
            path = Path(folder) / "model.onnx"
            path.write_bytes(self.float_model)
            calibrator = create_calibrator(
                path,
                _op_types(),
                augmented_model_path=str(Path(folder) / "augmented.onnx"),
                calibrate_method=CalibrationMethod[rule],
                extra_options=options,
            )
            with redirect_stdout(StringIO()):  # it prints progress
                for batch in _batches(self.float_model, images):
                    calibrator.collect_data(_Once(batch))  # merged; the maps are forgotten
                self.ranges[method] = calibrator.compute_data()
            del calibrator  # lets go of the file

    def build(self, method: str, float_layers: tuple[str, ...]) -> bytes:
        """The int8 model, with `float_layers` left as they are."""
        from onnxruntime.quantization import QuantType
        from onnxruntime.quantization.qdq_quantizer import QDQQuantizer

        proto = type(self.proto)()
        proto.CopyFrom(self.proto)
        quantizer = QDQQuantizer(
            proto,
            per_channel=True,
            reduce_range=self.reduce_range,
            weight_qType=QuantType.QInt8,
            activation_qType=QuantType.QUInt8,
            tensors_range=self.ranges[method],
            nodes_to_quantize=[],
            nodes_to_exclude=[node for name in float_layers for node in self.groups[name]],
            op_types_to_quantize=_op_types(),
            extra_options={},
        )
        quantizer.quantize_model()
        quantizer.model.topological_sort()  # it appends what it adds
        return quantizer.model.model.SerializeToString()


class _Judge:
    """Quantised models beside their float32 one, on the same images."""

    def __init__(self, quantizer: _Quantizer, images: Tensor) -> None:
        self.quantizer = quantizer
        self.images = images
        self.logits = _logits(quantizer.float_model, images)

    def measure(
        self, method: str, float_layers: tuple[str, ...], count: int | None = None
    ) -> Trial:
        """On the first `count` images, or all of them."""
        expected = self.logits[:count]
        logits = _logits(self.quantizer.build(method, float_layers), self.images[:count])
        error = float((logits - expected).norm() / expected.norm())
        other = logits.argmax(dim=1) != expected.argmax(dim=1)
        return Trial(method, float_layers, error, float(other.float().mean()))

    def spare_worst(self, method: str) -> list[Trial]:
        """Trials with the 1, 2, 4, ... worst layers in float32, until the classes hold."""
        names = set(self.quantizer.groups)
        alone = {
            name: self.measure(method, tuple(names - {name}), RANKED).error
            for name in self.quantizer.groups
        }
        worst_first = sorted(alone, key=alone.__getitem__, reverse=True)
        trials: list[Trial] = []
        count = 1
        while count < len(names) and not (trials and trials[-1].disagreement <= MAX_DISAGREEMENT):
            trials.append(self.measure(method, tuple(worst_first[:count])))
            count *= 2
        return trials


class _Once:
    """A calibration reader, as ONNX Runtime wants it, of one batch."""

    def __init__(self, batch: Tensor) -> None:
        self.feeds = [{INPUT: batch.contiguous().numpy()}]

    def get_next(self) -> dict[str, Any] | None:
        return self.feeds.pop() if self.feeds else None


def _op_types() -> list[str]:
    """All operators that ONNX Runtime can quantise, but for norms.

    It would give the weights of a norm, which differ by orders of magnitude, one scale for all.
    """
    from onnxruntime.quantization.registry import QDQRegistry, QLinearOpsRegistry

    known = {*QLinearOpsRegistry, *QDQRegistry}
    return sorted(name for name in known if not name.endswith("Normalization"))


def _groups(proto: Any, layers: Sequence[str]) -> dict[str, list[str]]:
    """Layer -> names of its nodes, for every layer with weights, in the network's order."""
    groups: dict[str, list[str]] = {}
    weighted = set()
    for node in proto.graph.node:
        properties = {entry.key: entry.value for entry in node.metadata_props}
        scopes = ast.literal_eval(properties.get("pkg.torch.onnx.name_scopes", "['']"))
        modules = scopes[:-1]  # "", "blocks", "blocks.0", ...; the last is the node's own
        name = next((module for module in modules if module in layers), (modules or [""])[-1])
        groups.setdefault(name, []).append(node.name)
        if node.op_type in ("Conv", "Gemm", "MatMul"):
            weighted.add(name)
    return {name: nodes for name, nodes in groups.items() if name in weighted}


def _logits(model: bytes, images: Tensor) -> Tensor:
    run = onnx_runtime(model)
    return torch.cat([run(batch) for batch in _batches(model, images)])


def _batches(model: bytes, images: Tensor) -> Iterator[Tensor]:
    """Images in the model's own batch size, or BATCH where it takes any."""
    import onnx

    shape = onnx.load_from_string(model).graph.input[0].type.tensor_type.shape
    yield from images.split(shape.dim[0].dim_value or BATCH)
