"""Exported files in the engines that they are for, on the CPU: ONNX Runtime, torch, OpenVINO.

Every file takes and gives float32, whatever it computes in.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from zipfile import is_zipfile

import numpy as np
import torch
from torch import Tensor

ANY_BATCH = "any"  # metadata "batch" of a file that takes batches of every size
RT_INFO = "ghostexp"  # OpenVINO's section for our metadata
EXTRA_FILE = "metadata.json"  # torch.export's
INPUT, OUTPUT = "inputs", "outputs"  # an ONNX model's names

Call = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Engine:
    """A loaded file as a function of float32 inputs [N, ...]; `name` says engine and version."""

    name: str
    metadata: dict[str, str]
    run: Call

    def __call__(self, inputs: Tensor) -> Tensor:
        if self.metadata["batch"] == ANY_BATCH:
            return self.run(inputs)
        size = int(self.metadata["batch"])
        return torch.cat([self.run(part) for part in inputs.split(size)])


def load_engine(path: Path) -> Engine:
    """The engine for a file of `export`, by its suffix: .onnx, .pt2 or .xml."""
    loaders = {".onnx": _load_onnx, ".pt2": _load_program, ".xml": _load_openvino}
    if path.suffix not in loaders:
        raise ValueError(f"an exported file ends in {', '.join(loaders)}, not as {path.name}")
    return loaders[path.suffix](path)


def onnx_runtime(model: bytes, threads: int = 0) -> Call:
    """An ONNX model in ONNX Runtime; 0 threads are one for each core."""
    return _onnx_call(onnx_session(model, threads))


def onnx_session(model: bytes, threads: int):
    """ONNX Runtime's session of a model on the CPU; 0 threads are one for each core."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    # idle threads that spin slow down whatever else computes in this process
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def openvino_model(
    model: bytes | Path, precision: str, *, shape: tuple[int, ...] | None = None, threads: int = 0
) -> Call:
    """An ONNX model, or OpenVINO's file, in OpenVINO, for inputs of `shape` if it is given.

    bf16 computes in it; every other precision is the file's own, with the rest in float32.
    """
    model = openvino_core().read_model(model)
    if shape is not None:
        model.reshape(list(shape))
    return openvino_call(model, precision, threads)


def openvino_call(model, precision: str, threads: int) -> Call:
    """An OpenVINO model of its Core, compiled; `precision` as in `openvino_model`."""
    compiled = openvino_core().compile_model(
        model,
        "CPU",
        {
            "INFERENCE_PRECISION_HINT": "bf16" if precision == "bf16" else "f32",
            "INFERENCE_NUM_THREADS": threads,
            "NUM_STREAMS": 1,
        },
    )
    return lambda inputs: torch.from_numpy(compiled(_array(inputs))[0].copy())


@cache
def openvino_core():
    """OpenVINO's one Core of this process.

    Its CPU plugin gives the thread a stack for signal handlers and unmaps it at its end. Two Cores
    that end in the order they began leave the first one's address behind: the next signal with a
    handler, such as SIGCHLD after a DataLoader with workers, then writes over whatever lies there.
    """
    import openvino

    return openvino.Core()


def _load_onnx(path: Path) -> Engine:
    import onnxruntime

    session = onnx_session(path.read_bytes(), 0)
    metadata = session.get_modelmeta().custom_metadata_map
    return Engine(f"ONNX Runtime {onnxruntime.__version__}", metadata, _onnx_call(session))


def _load_program(path: Path) -> Engine:
    if not is_zipfile(path):  # torch would log a trace of its own
        raise ValueError(f"{path} cannot be loaded: torch.export did not write it")
    extra = {EXTRA_FILE: ""}
    program = torch.export.load(path, extra_files=extra).module()
    run = torch.no_grad()(program)
    return Engine(f"torch.export {torch.__version__}", json.loads(extra[EXTRA_FILE]), run)


def _load_openvino(path: Path) -> Engine:
    import openvino

    model = openvino_core().read_model(path)
    metadata = json.loads(model.get_rt_info([RT_INFO, "metadata"]).value)
    name = f"OpenVINO {openvino.get_version().split('-')[0]}"
    return Engine(name, metadata, openvino_call(model, metadata["precision"], 0))


def _onnx_call(session) -> Call:
    return lambda inputs: torch.from_numpy(session.run(None, {INPUT: _array(inputs)})[0])


def _array(inputs: Tensor) -> np.ndarray:
    return np.ascontiguousarray(inputs.numpy())
