"""ONNX Runtime's quantiser makes int8 models from one float32 ONNX model."""

import ast
from collections.abc import Iterator, Sequence
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from torch import Tensor

from ghostexp.deploy.engines import INPUT

METHODS = {  # ONNX Runtime's name for the rule, and its settings
    "min-max": ("MinMax", {}),
    "percentile": ("Percentile", {"percentile": 99.99, "symmetric": False}),
    "entropy": ("Entropy", {}),
}
BATCH = 32  # images at a time: a histogram method holds all maps of as many


class Quantizer:
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
                for batch in batches(self.float_model, images):
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


def batches(model: bytes, images: Tensor) -> Iterator[Tensor]:
    """Images in the model's own batch size, or BATCH where it takes any."""
    import onnx

    shape = onnx.load_from_string(model).graph.input[0].type.tensor_type.shape
    yield from images.split(shape.dim[0].dim_value or BATCH)


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
