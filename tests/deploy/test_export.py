"""Files of a tiny network in their real engines, beside the network itself in float32."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import nn

from ghostexp.deploy import export
from ghostexp.deploy.engines import load_engine
from ghostexp.deploy.export import Form, to_onnx, write_onnx, write_openvino, write_program
from ghostexp.deploy.fuse import fuse
from ghostexp.layers import GhostModule

NAMES = {"class_names": json.dumps(['a "quoted" <name> & more', "weiß"])}
IMAGES = torch.randn(5, 3, 8, 8, generator=torch.Generator().manual_seed(0))


@pytest.fixture(scope="module")
def net():
    torch.manual_seed(0)
    return nn.Sequential(
        *(GhostModule(3, 7, 3), nn.BatchNorm2d(7), nn.ReLU()),
        *(nn.Conv2d(7, 8, 3, 2), nn.BatchNorm2d(8), nn.ReLU()),
        *(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 4)),
    ).eval()


def check(net: nn.Module, path: Path, form: Form, share: float) -> None:
    """Equal logits for five images at once, and the metadata as it was given."""
    engine = load_engine(path)
    assert engine.metadata == form.metadata | NAMES
    with torch.no_grad():
        expected, logits = net(IMAGES), engine(IMAGES)
    assert logits.dtype == torch.float32
    atol = share * float(expected.abs().max())
    torch.testing.assert_close(logits, expected, rtol=0, atol=atol)


def test_onnx_takes_any_batch_and_has_no_batch_norm(net, tmp_path):
    onnx = pytest.importorskip("onnx", reason="onnx is an extra")
    form, path = Form("onnx", dynamic_batch=True), tmp_path / "net.onnx"
    model = to_onnx(fuse(net), IMAGES, form)
    write_onnx(model, path, form.metadata | NAMES)
    check(net, path, form, 1e-5)
    assert [part.name for part in tmp_path.iterdir()] == ["net.onnx"]
    operators = {node.op_type for node in onnx.load(path).graph.node}
    assert "Conv" in operators
    assert "BatchNormalization" not in operators


def test_openvino_with_a_fixed_batch_sees_one_image_after_the_other(net, tmp_path):
    pytest.importorskip("openvino", reason="openvino is an extra")
    form, path = Form("openvino"), tmp_path / "net.xml"
    write_openvino(to_onnx(fuse(net), IMAGES, form), path, form.metadata | NAMES)
    check(net, path, form, 1e-5)
    assert sorted(part.name for part in tmp_path.iterdir()) == ["net.bin", "net.xml"]


SIGNAL_AFTER_ENGINES = """
import os, signal, sys
from pathlib import Path
from ghostexp.deploy.engines import load_engine
first, second = load_engine(Path(sys.argv[1])), load_engine(Path(sys.argv[1]))
del first
del second
signal.signal(signal.SIGUSR1, lambda number, frame: print("handled"))
os.kill(os.getpid(), signal.SIGUSR1)
"""


@pytest.mark.slow
def test_signals_are_handled_after_openvinos_networks_are_gone(net, tmp_path):
    pytest.importorskip("openvino", reason="openvino is an extra")
    form, path = Form("openvino"), tmp_path / "net.xml"
    write_openvino(to_onnx(fuse(net), IMAGES, form), path, form.metadata | NAMES)
    command = [sys.executable, "-c", SIGNAL_AFTER_ENGINES, str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "handled\n")


@pytest.mark.parametrize(("precision", "share"), [("fp32", 1e-6), ("bf16", 0.05)])
def test_a_program_of_torch_export(net, tmp_path, precision, share):
    form, path = Form("torch_export", precision, dynamic_batch=True), tmp_path / "net.pt2"
    write_program(fuse(net), IMAGES, form, path, form.metadata | NAMES)
    check(net, path, form, share)
    assert all(parameter.dtype == torch.float32 for parameter in net.parameters())


def test_a_form_that_does_not_exist_is_refused(monkeypatch):
    with pytest.raises(ValueError, match="onnx is written in fp32, fp16, int8, not bf16"):
        Form("onnx", "bf16")
    with pytest.raises(ValueError, match="torch_export is written in fp32, fp16, bf16, not int8"):
        Form("torch_export", "int8")
    with pytest.raises(ValueError, match="int8 convolutions wrongly where the batch size is open"):
        Form("openvino", "int8", dynamic_batch=True)
    with pytest.raises(ValueError, match="instructions are any or vnni, not avx2"):
        Form("onnx", "int8", instructions="avx2")
    with pytest.raises(ValueError, match="instructions=vnni is for int8, not fp32"):
        Form("onnx", instructions="vnni")
    assert Form("onnx", "int8", instructions="vnni").metadata["instructions"] == "vnni"
    assert "instructions" not in Form("onnx").metadata
    monkeypatch.setattr(export, "find_spec", lambda name: None)
    with pytest.raises(ValueError, match=r"needs onnx, .*: pip install 'ghostexp\[export\]'"):
        Form("onnx")
    assert Form("torch_export").metadata["precision"] == "fp32"


def test_a_write_that_fails_leaves_the_old_file(tmp_path):
    path = tmp_path / "net.onnx"
    path.write_text("old")

    def fail(part: Path) -> None:
        part.write_text("half")
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        export._write(path, fail)
    assert [(part.name, part.read_text()) for part in tmp_path.iterdir()] == [("net.onnx", "old")]


def test_a_file_of_another_suffix_has_no_engine(tmp_path):
    with pytest.raises(ValueError, match="ends in .onnx, .pt2, .xml, not as net.pt"):
        load_engine(tmp_path / "net.pt")
