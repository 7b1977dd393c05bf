"""int8 beside float32 on a tiny network: close, per channel, and the spared layers untouched."""

import pytest
import torch
from torch import nn

from ghostexp.deploy import quantize as module
from ghostexp.deploy.engines import onnx_runtime
from ghostexp.deploy.export import Form, to_onnx
from ghostexp.deploy.fuse import fuse
from ghostexp.layers import GhostModule

onnx = pytest.importorskip("onnx", reason="onnx is an extra")


@pytest.fixture(scope="module")
def images():
    return torch.randn(24, 3, 8, 8, generator=torch.Generator().manual_seed(0))


@pytest.fixture(scope="module")
def model(images):
    torch.manual_seed(0)
    net = nn.Sequential(
        *(GhostModule(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU()),
        *(nn.Conv2d(8, 8, 3), nn.BatchNorm2d(8), nn.ReLU()),
        *(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 4)),
    )
    return to_onnx(fuse(net), images, Form("onnx", dynamic_batch=True))


def int8_weights(model: bytes) -> dict[str, int]:
    """Initializer -> length of its scale, for what is stored as int8 with two axes or more."""
    graph = onnx.load_from_string(model).graph
    values = {value.name: value for value in graph.initializer}
    return {
        node.input[0]: len(onnx.numpy_helper.to_array(values[node.input[1]]).reshape(-1))
        for node in graph.node
        if node.op_type == "DequantizeLinear"
        and node.input[0] in values
        and values[node.input[0]].data_type == onnx.TensorProto.INT8
        and len(values[node.input[0]].dims) > 1
    }


def test_int8_is_close_and_has_a_scale_for_each_channel(model, images, monkeypatch):
    monkeypatch.setattr(module, "MAX_DISAGREEMENT", 1.0)  # nothing to spare
    quantized = module.quantize(model, images[:16], images[16:], ["0"])
    assert {trial.method for trial in quantized.trials} == set(module.METHODS)
    assert quantized.chosen.error == min(trial.error for trial in quantized.trials)
    assert quantized.layers == 3  # the Ghost module is one
    assert sorted(int8_weights(quantized.model).values()) == [4, 4, 4, 4, 8]
    expected = onnx_runtime(model)(images)
    difference = (onnx_runtime(quantized.model)(images) - expected).norm() / expected.norm()
    assert 0 < difference < 0.1


@pytest.mark.parametrize(("instructions", "largest"), [("any", 64), ("vnni", 127)])
def test_weights_for_any_cpu_have_seven_bits(model, images, monkeypatch, instructions, largest):
    """Without VNNI 2 * 255 * |weight| has to fit into 16 bits, of which 2**15 - 1 are positive."""
    monkeypatch.setattr(module, "has_exact_int8", lambda: True)
    quantized = module.quantize(model, images[:16], images[16:], ["0"], instructions)
    graph = onnx.load_from_string(quantized.model).graph
    weights = [
        onnx.numpy_helper.to_array(value)
        for value in graph.initializer
        if value.data_type == onnx.TensorProto.INT8 and len(value.dims) > 1
    ]
    assert max(int(abs(weight.astype(int)).max()) for weight in weights) == largest
    assert (2 * 255 * largest < 2**15) == (instructions == "any")


def test_a_cpu_without_vnni_measures_no_model_for_vnni(model, images, monkeypatch):
    monkeypatch.setattr(module, "has_exact_int8", lambda: False)
    with pytest.raises(ValueError, match="this CPU has no VNNI, .*: use instructions=any"):
        module.quantize(model, images[:16], images[16:], ["0"], "vnni")
    module.quantize(model, images[:1], images[1:2], ["0"])  # one image of each


def test_no_images_are_one_sentence(model, images):
    with pytest.raises(ValueError, match="at least one image to calibrate and one to measure"):
        module.quantize(model, images[:0], images, ["0"])


def test_the_worst_layers_stay_float(model, images, monkeypatch):
    monkeypatch.setattr(module, "MAX_DISAGREEMENT", -1.0)  # never good enough
    quantized = module.quantize(model, images[:16], images[16:], ["0"])
    counts = [len(trial.float_layers) for trial in quantized.trials]
    assert counts == [0, 0, 0, 1, 2]
    best = quantized.chosen
    assert best.float_layers in [trial.float_layers for trial in quantized.trials]
    plain = module.quantize_plainly(model, images[:16])
    assert len(int8_weights(plain)) == 5  # primary, norm, cheap, conv, linear
    weights = {"0": 3, "3": 1, "8": 1}
    spared = sum(weights[name] for name in best.float_layers)
    assert len(int8_weights(quantized.model)) == 5 - spared


def test_norms_that_are_left_stay_float(images):
    """Their weights may differ by orders of magnitude, which one scale for all would lose."""
    torch.manual_seed(0)
    ghost = GhostModule(3, 8, 3, norm_layer=nn.BatchNorm2d, activation_layer=nn.ReLU)
    norm = nn.BatchNorm2d(8)
    nn.init.constant_(norm.running_var[:4], 1e-6)
    head = (nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 4))
    net = fuse(nn.Sequential(ghost, norm, nn.ReLU(), *head))
    model = to_onnx(net, images, Form("onnx", dynamic_batch=True))
    graph = onnx.load_from_string(module.quantize_plainly(model, images[:16])).graph
    makers = {name: node.op_type for node in graph.node for name in node.output}
    (left,) = (node for node in graph.node if node.op_type == "BatchNormalization")
    assert [makers.get(name) for name in left.input[1:]] == [None] * 4  # no DequantizeLinear
