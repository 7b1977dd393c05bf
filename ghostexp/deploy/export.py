"""A fused network as a file: ONNX, torch.export's program or OpenVINO's model, with metadata.

`Form` says which file: its format, the precision it computes in, whether it takes every batch size.
ONNX Runtime computes in no bf16 on a CPU, and int8 is a graph of ONNX's QDQ operators, which both
ONNX Runtime and OpenVINO run: those are the combinations that are left.
"""

import json
import os
import warnings
from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from torch import Tensor, nn

from ghostexp.deploy.engines import (
    ANY_BATCH,
    EXTRA_FILE,
    INPUT,
    OUTPUT,
    RT_INFO,
    openvino_core,
)

SUFFIXES = {"onnx": ".onnx", "torch_export": ".pt2", "openvino": ".xml"}
PRECISIONS = {
    "onnx": ("fp32", "fp16", "int8"),
    "torch_export": ("fp32", "fp16", "bf16"),
    "openvino": ("fp32", "fp16", "bf16", "int8"),
}
PACKAGES = {  # of the extra `export`
    "onnx": ("onnx", "onnxscript", "onnxruntime"),
    "torch_export": (),
    "openvino": ("onnx", "onnxscript", "onnxruntime", "openvino"),
}
INSTRUCTIONS = ("any", "vnni")  # of the CPUs that an int8 file is for
DTYPES = {"fp16": torch.float16, "bf16": torch.bfloat16}


@dataclass(frozen=True)
class Form:
    """Format, precision and batch size of a file; ValueError where they do not go together.

    `instructions` says for which CPUs int8 is made; see `ghostexp.deploy.quantize`.
    """

    format: str
    precision: str = "fp32"
    dynamic_batch: bool = False
    instructions: str = "any"

    def __post_init__(self) -> None:
        if self.format not in PRECISIONS:
            raise ValueError(f"format is {', '.join(PRECISIONS)}, not {self.format}")
        known = PRECISIONS[self.format]
        if self.precision not in known:
            raise ValueError(
                f"{self.format} is written in {', '.join(known)}, not {self.precision}"
            )
        if self.instructions not in INSTRUCTIONS:
            raise ValueError(
                f"instructions are {' or '.join(INSTRUCTIONS)}, not {self.instructions}"
            )
        if self.instructions != "any" and self.precision != "int8":
            raise ValueError(f"instructions={self.instructions} is for int8, not {self.precision}")
        if (self.format, self.precision, self.dynamic_batch) == ("openvino", "int8", True):
            raise ValueError(
                "OpenVINO 2026.4 computes int8 convolutions wrongly where the batch size is open:"
                " leave dynamic_batch out, or choose format=onnx"
            )
        missing = [name for name in PACKAGES[self.format] if find_spec(name) is None]
        if missing:
            raise ValueError(
                f"{self.format} needs {', '.join(missing)}: pip install 'ghostexp[export]'"
            )

    @property
    def metadata(self) -> dict[str, str]:
        batch = ANY_BATCH if self.dynamic_batch else "1"
        facts = {"format": self.format, "precision": self.precision, "batch": batch}
        return facts | ({"instructions": self.instructions} if self.precision == "int8" else {})


class Cast(nn.Module):
    """Another dtype of the same numbers."""

    def __init__(self, dtype: torch.dtype) -> None:
        super().__init__()
        self.dtype = dtype

    def forward(self, inputs: Tensor) -> Tensor:
        return inputs.to(self.dtype)


def to_onnx(net: nn.Module, example: Tensor, form: Form) -> bytes:
    """`net` as an ONNX model for inputs like `example` [N >= 2, ...].

    Float16 computes inside; int8 and OpenVINO's reduced precisions begin with this in float32.
    """
    if form.format == "onnx":
        net = _reduced(net, form.precision)
    with warnings.catch_warnings():
        _ignore_exporters_own_warnings()
        program = torch.onnx.export(
            net,
            (_example(example, form),),
            dynamo=True,
            verbose=False,
            input_names=[INPUT],
            output_names=[OUTPUT],
            dynamic_shapes=_dynamic_shapes(form),
        )
    return program.model_proto.SerializeToString()


def write_onnx(model: bytes, path: Path, metadata: dict[str, str]) -> None:
    """An ONNX model with `metadata` in its metadata_props."""
    import onnx

    proto = onnx.load_from_string(model)
    onnx.helper.set_model_props(proto, metadata)
    onnx.checker.check_model(proto)
    _write(path, lambda part: part.write_bytes(proto.SerializeToString()))


def write_openvino(model: bytes, path: Path, metadata: dict[str, str]) -> None:
    """An ONNX model as OpenVINO's .xml and .bin, `metadata` as JSON in rt_info."""
    import openvino

    converted = openvino_core().read_model(model)
    converted.set_rt_info(json.dumps(metadata), [RT_INFO, "metadata"])
    fp16 = metadata["precision"] == "fp16"
    _write(path, lambda part: openvino.save_model(converted, part, compress_to_fp16=fp16))


def write_program(
    net: nn.Module, example: Tensor, form: Form, path: Path, metadata: dict[str, str]
) -> None:
    """`net` as torch.export's program, `metadata` as a JSON file inside."""
    net = deepcopy(_reduced(net, form.precision))
    net.to(memory_format=torch.contiguous_format)  # torch.export.save takes others for views
    with torch.no_grad():
        program = torch.export.export(
            net, (_example(example, form),), dynamic_shapes=_dynamic_shapes(form)
        )
    extra = {EXTRA_FILE: json.dumps(metadata)}
    _write(path, lambda part: torch.export.save(program, part, extra_files=extra))


def _reduced(net: nn.Module, precision: str) -> nn.Module:
    """`net` itself, or a network around a copy of it that computes in float16 or bfloat16."""
    if precision not in DTYPES:
        return net
    dtype = DTYPES[precision]
    return nn.Sequential(Cast(dtype), deepcopy(net).to(dtype), Cast(torch.float32)).eval()


def _example(example: Tensor, form: Form) -> Tensor:
    return example[: 2 if form.dynamic_batch else 1]  # a batch of 1 would be taken as fixed


def _dynamic_shapes(form: Form) -> tuple[dict[int, object]] | None:
    return ({0: torch.export.Dim("batch")},) if form.dynamic_batch else None


def _ignore_exporters_own_warnings() -> None:
    """Warnings of torch's exporter about its own calls: users cannot change them."""
    warnings.filterwarnings("ignore", category=DeprecationWarning, module="(torch|onnx|copyreg)")
    warnings.filterwarnings("ignore", category=FutureWarning, module="(torch|onnx|copyreg)")


def _write(path: Path, write: Callable[[Path], object]) -> None:
    """Let `write` make a file, and what belongs to it, and put all in place once they are whole."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=path.parent, prefix=".export") as folder:
        write(Path(folder) / path.name)
        for part in sorted(Path(folder).iterdir()):  # OpenVINO's .bin before its .xml
            os.replace(part, path.parent / part.name)
