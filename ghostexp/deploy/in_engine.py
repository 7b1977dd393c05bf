"""A network computed by an engine in this process, without a file: native, ONNX Runtime, OpenVINO.

All of them compute in float32 on the CPU.
"""

from importlib.metadata import version

import torch
from torch import Tensor, nn

from ghostexp.deploy.engines import ANY_BATCH, Call, Engine, onnx_runtime, openvino_model
from ghostexp.deploy.export import Form, to_onnx
from ghostexp.deploy.fuse import fuse
from ghostexp.deploy.native import native

ENGINES = ("native", "onnxruntime", "openvino")


class EngineNet(nn.Module):
    """An engine in the place of the network that it computes; it has no parameters."""

    def __init__(self, run: Call) -> None:
        super().__init__()
        self.run = run

    def forward(self, inputs: Tensor) -> Tensor:
        return self.run(inputs)


def in_engine(net: nn.Module, input_shape: tuple[int, int, int], engine: str) -> Engine:
    """The function of `net` in evaluation mode, for inputs [N, *input_shape], in one of ENGINES.

    ValueError where the engine is not installed or cannot compute the network.
    """
    if engine not in ENGINES:
        raise ValueError(f"engine is {', '.join(ENGINES)}, not {engine}")
    try:
        name, run = _build(net.eval(), input_shape, engine)
    except RuntimeError as error:  # of torch's exporter or of an engine
        reason = str(error).strip().partition("\n")[0]
        raise ValueError(f"{engine} cannot compute this network: {reason}") from error
    return Engine(name, {"batch": ANY_BATCH}, run)


def _build(net: nn.Module, input_shape: tuple[int, int, int], engine: str) -> tuple[str, Call]:
    if engine == "native":
        return "native (ours)", native(net, input_shape)
    format = "onnx" if engine == "onnxruntime" else "openvino"
    form = Form(format, dynamic_batch=True)  # refuses where a package is missing
    model = to_onnx(fuse(net), torch.zeros(2, *input_shape), form)
    if engine == "onnxruntime":
        return f"ONNX Runtime {version('onnxruntime')}", onnx_runtime(model)
    return f"OpenVINO {version('openvino').split('-')[0]}", openvino_model(model, "fp32")
