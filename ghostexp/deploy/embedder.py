"""What the last linear layer of a classifier sees: of a network, or of an exported file.

An engine gives only outputs, so the network or the graph of the file is cut before that layer.
"""

from pathlib import Path

import torch
from torch import Tensor, nn

from ghostexp.analysis.embeddings import last_linear
from ghostexp.deploy.engines import Call, onnx_runtime, openvino_call, openvino_core
from ghostexp.layers.copied import copied

PRODUCTS = ("Gemm", "MatMul")  # ONNX's and OpenVINO's names for a linear layer


def embedding_net(net: nn.Module, example: Tensor) -> nn.Module:
    """A copy of `net` in evaluation mode that ends before its last linear layer.

    ValueError where something follows that layer; `example` are inputs to find out.
    """
    cut = copied(net).eval()
    head = last_linear(cut)
    (name,) = (name for name, module in cut.named_modules() if module is head)
    seen: list[Tensor] = []
    with torch.no_grad():
        watch = head.register_forward_hook(lambda _, inputs, outputs: seen.append(outputs))
        outputs = cut(example)
        watch.remove()
    if not (name and seen and torch.equal(seen[-1], outputs)):
        raise ValueError(
            f"the last linear layer, {name or 'the network'}, does not make the network's outputs:"
            " no engine can stop before it"
        )
    cut.set_submodule(name, nn.Identity())
    return cut


def file_embedder(path: Path) -> Call:
    """Inputs [N, ...] -> embeddings [N, D] of an exported file, by its suffix, in its engine."""
    cutters = {".onnx": _cut_onnx, ".pt2": _cut_program, ".xml": _cut_openvino}
    return cutters[path.suffix](path)


def _cut_onnx(path: Path) -> Call:
    import onnx

    model = onnx.load(path)
    makers = {name: node for node in model.graph.node for name in node.output}
    node = makers[model.graph.output[0].name]
    while node is not None and node.op_type not in PRODUCTS:
        node = makers.get(node.input[0])
    _check(node is not None, path)
    kind = model.graph.output[0].type.tensor_type.elem_type
    del model.graph.output[:]
    model.graph.output.append(onnx.helper.make_tensor_value_info(node.input[0], kind, None))
    return onnx_runtime(model.SerializeToString())


def _cut_openvino(path: Path) -> Call:
    import openvino

    model = openvino_core().read_model(path)
    node = model.output(0).node
    while node.get_type_name() not in PRODUCTS:
        _check(len(node.inputs()) > 0, path)
        node = node.input_value(0).node
    cut = openvino.Model([node.input_value(0)], model.get_parameters())
    return openvino_call(cut, "fp32", 0)


def _cut_program(path: Path) -> Call:
    module = torch.export.load(path).module()
    (output,) = (node for node in module.graph.nodes if node.op == "output")
    node = output.args[0][0]
    while node.target is not torch.ops.aten.linear.default:
        _check(len(node.all_input_nodes) > 0, path)
        node = node.all_input_nodes[0]
    output.args = ((node.args[0],),)
    module.graph.eliminate_dead_code()
    module.recompile()
    return torch.no_grad()(module)


def _check(found: bool, path: Path) -> None:
    if not found:
        raise ValueError(f"{path} has no linear layer at its end, whose input is the embedding")
