"""The weights of a run as one file: equal numbers, half of the bytes, and what is refused."""

import hashlib
import json

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file

import ghostexp
from ghostexp.commands.weights import main
from ghostexp.config.explain import UserError
from ghostexp.runs.run import Run
from ghostexp.runs.weights_file import _halved, write_weights


def test_a_file_holds_the_network_and_says_whose_it_is(trained, tmp_path):
    path = tmp_path / "net.safetensors"
    write_weights(trained, path)
    run, given = Run(trained), load_file(path)
    state = run.net.state_dict()
    assert given.keys() == state.keys()
    assert all(torch.equal(given[name], value) for name, value in state.items())
    with safe_open(path, "pt") as file:
        facts = file.metadata()
    assert json.loads(facts["metrics"]) == run.metrics
    assert json.loads(facts["model"])["_target_"] == "ghostexp.models.ghost_resnet56"
    assert json.loads(facts["digest"]) == run.record["digest"]


def test_half_precision_keeps_norms_and_outputs(trained, tmp_path, capsys):
    path = tmp_path / "net.safetensors"
    assert main([str(trained), str(path), "--half"]) == 0
    said = capsys.readouterr().out
    assert hashlib.sha256(path.read_bytes()).hexdigest() in said
    assert f"{path.stat().st_size:,} bytes" in said
    for name, value in load_file(path).items():
        wanted = {True: torch.float16, False: torch.float32}[value.dim() >= 2]
        assert value.dtype == (torch.int64 if name.endswith("num_batches_tracked") else wanted)
    net = ghostexp.create_model(
        "ghost_resnet56", num_classes=10, in_channels=1, weights=str(path)
    ).eval()
    images = torch.randn(64, 1, 8, 8)
    with torch.no_grad():
        expected, found = Run(trained).net.eval()(images), net(images)
    torch.testing.assert_close(found, expected, rtol=0, atol=0.01 * float(expected.abs().max()))


def test_what_float16_cannot_hold_is_refused():
    with pytest.raises(UserError, match="conv reaches 7e\\+04, and float16 ends at 65504: leave"):
        _halved("conv", torch.full((1, 1), 7e4))


def test_nothing_is_overwritten(trained, tmp_path, capsys):
    path = tmp_path / "net.safetensors"
    path.touch()
    assert main([str(trained), str(path)]) == 1
    assert "exists already" in capsys.readouterr().err
    assert path.stat().st_size == 0
    assert main([str(trained), str(tmp_path / "net.pth")]) == 1
    assert "ends in .safetensors" in capsys.readouterr().err
