"""What is timed is the network it is called; ratios are of the reference; gaps have a reason."""

import pytest
import torch
from torch import nn

from ghostexp.analysis.benchmark import Timing
from ghostexp.deploy import latency
from ghostexp.deploy.forms import EXACT, FORMS, Subject
from ghostexp.deploy.latency import time_inference
from ghostexp.layers import GhostModule

SETTING = {"batch_sizes": [2], "threads": [1], "rounds": 1}


def network(conv: nn.Module) -> nn.Module:
    layers = [conv, nn.BatchNorm2d(8), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten()]
    return nn.Sequential(*layers, nn.Linear(8, 4))


@pytest.fixture
def subjects():
    torch.manual_seed(0)
    dense, ghost = network(nn.Conv2d(3, 8, 3, padding=1)), network(GhostModule(3, 8, 3))
    shape = (3, 8, 8)
    return [Subject("ghost", ghost, shape, "dense"), Subject("dense", dense, shape, "dense")]


def test_every_form_in_torch_and_an_engine_beside_the_macs_ratio(subjects):
    forms = ["eager", "channels_last", "fused", "fused_channels_last", "bf16", "onnxruntime"]
    forms += ["openvino"]
    rows = time_inference(subjects, forms, **SETTING)
    assert [(row.form, row.network) for row in rows] == [
        (form, name) for form in forms for name in ("ghost", "dense")
    ]
    assert all(row.note == "" and row.ms > 0 for row in rows)
    dense, ghost = 8 * 3 * 9 * 64 + 32, (4 * 3 * 9 + 4 * 9) * 64 + 32
    assert rows[0].macs_ratio == pytest.approx(dense / ghost)
    assert all(row.speed_ratio == 1 for row in rows if row.network == "dense")
    assert all(row.images_per_s == pytest.approx(2e3 / row.ms) for row in rows)
    assert {row.form for row in rows if not row.lossless} == {"bf16"}


def test_the_native_backend_says_why_it_refuses(subjects):
    (dense,) = time_inference(subjects[1:], ["native"], **SETTING)
    if "compiler" in dense.note or "AVX2" in dense.note:  # is missing here
        pytest.skip(dense.note)
    assert dense.note == ""
    net = nn.Sequential(nn.Hardswish(), *subjects[1].net)
    (refused,) = time_inference([Subject("net", net, (3, 8, 8), "net")], ["native"], **SETTING)
    assert refused.ms is None
    assert "hardswish" in refused.note


def test_ratios_are_the_references_time_over_the_own(subjects, monkeypatch):
    seconds = {"ghost": [1.0, 2.0, 4.0], "dense": [3.0, 3.0, 3.0]}

    def interleave(candidates, *, rounds):
        return [Timing(key, seconds[key[0]]) for key in candidates]

    monkeypatch.setattr(latency, "interleave", interleave)
    ghost, dense = time_inference(subjects, ["eager"], **SETTING)
    assert (ghost.speed_ratio, ghost.low, ghost.high) == (1.5, 0.75, 3.0)
    assert (ghost.ms, ghost.fastest_ms, ghost.slowest_ms) == (2000, 1000, 4000)
    assert (dense.speed_ratio, dense.low, dense.high) == (1, 1, 1)


def test_a_form_that_times_another_network_is_caught(subjects, monkeypatch):
    other = subjects[1].net.eval()
    monkeypatch.setitem(FORMS, "fused", (lambda net, images, threads: lambda: other(images), EXACT))
    ghost, dense = time_inference(subjects, ["fused"], **SETTING)
    assert ghost.ms is None
    assert ghost.note.startswith("outputs that differ from those of ghost by ")
    assert dense.ms > 0
    assert dense.note == ""


def test_a_form_that_changes_while_it_is_timed_is_caught(subjects, monkeypatch):
    calls = []

    def tires(net, images, threads):
        def call():
            calls.append(None)
            return net.eager(images) if len(calls) < 3 else torch.zeros(2, 4)

        return call

    monkeypatch.setitem(FORMS, "fused", (tires, EXACT))
    (dense,) = time_inference(subjects[1:], ["fused"], **SETTING)
    assert dense.ms is None
    assert "by 1 of their size, more than 0.001" in dense.note


def test_a_form_that_is_not_there_is_listed_with_the_reason(subjects, monkeypatch):
    def refuse(net, images, threads):
        raise RuntimeError("no compiler\nand a long trace")

    monkeypatch.setitem(FORMS, "compile", (refuse, EXACT))
    rows = time_inference(subjects, ["compile", "eager"], **SETTING)
    assert [row.note for row in rows] == ["RuntimeError: no compiler"] * 2 + ["", ""]
    assert rows[0].ms is None
    with pytest.raises(ValueError, match="forms are eager, .*, not slow"):
        time_inference(subjects, ["slow"], **SETTING)


def test_threads_are_as_before(subjects):
    before = torch.get_num_threads()
    time_inference(subjects, ["eager"], batch_sizes=[1], threads=[before + 1], rounds=1)
    assert torch.get_num_threads() == before
