"""Steps are of the network that is named, in both forms; the table's arithmetic."""

from dataclasses import replace

import pytest
import torch
from torch import nn

from ghostexp.analysis import step_latency
from ghostexp.analysis.benchmark import Timing
from ghostexp.analysis.step_latency import StepTiming, steps_table, time_steps
from ghostexp.layers.fast import FastLayers
from ghostexp.layers.fast_norm import FastBatchNorm2d
from ghostexp.models import ghost_resnet56


def refused(net: nn.Module) -> None:
    raise ValueError("no kernel")


@pytest.mark.parametrize("bf16", [False, True])
def test_both_forms_take_steps_and_the_network_stays(bf16, monkeypatch):
    monkeypatch.setattr(step_latency, "NativeStep", lambda: refused)
    net = ghost_resnet56(in_channels=1)
    before = {key: value.clone() for key, value in net.state_dict().items()}
    images = {"ghost": (net, (1, 8, 8))}
    (timing,) = time_steps(images, batch_size=3, rounds=2, bf16=bf16)
    assert (timing.name, timing.batch_size) == ("ghost", 3)
    forms = (timing.nchw, timing.torch, timing.ours)
    assert [len(form.seconds) for form in forms] == [2, 2, 2]
    assert timing.layers.endswith(" of 114")
    assert timing.native is None
    assert all(torch.equal(value, before[key]) for key, value in net.state_dict().items())
    assert not any(isinstance(module, FastBatchNorm2d) for module in net.modules())


def test_a_native_step_is_timed_beside_the_others_and_memory_is_told():
    layers = [nn.Conv2d(1, 4, 3, padding=1), nn.BatchNorm2d(4), nn.AdaptiveAvgPool2d(1)]
    net = nn.Sequential(*layers, nn.Flatten(), nn.Linear(4, 3))
    (timing,) = time_steps({"net": (net, (1, 8, 8))}, batch_size=4, rounds=2, bf16=False)
    assert len(timing.native.seconds) == 2
    assert len(timing.native_gains) == 2
    torch_mb, native_mb = timing.megabytes.split(", ")
    assert float(torch_mb) == float(native_mb) == 0  # of 4 small images


def test_kernels_that_compute_something_else_are_refused(monkeypatch):
    class Wrong(FastLayers):
        def __call__(self, net: nn.Module, folder: object = None) -> nn.Module:
            return nn.Sequential(net, nn.ReLU())

    monkeypatch.setattr(step_latency, "FastLayers", Wrong)
    net = nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(144, 3))
    with pytest.raises(ValueError, match="net: our kernels give the loss"):
        time_steps({"net": (net, (1, 8, 8))}, batch_size=4, rounds=1, bf16=False)


def test_gains_and_the_reference_come_from_medians():
    def timing(name: str, torch_s: list[float], ours_s: list[float]) -> StepTiming:
        nchw = Timing("", [5.0])
        return StepTiming(name, 100, nchw, Timing("", torch_s), Timing("", ours_s), "1 of 2")

    def native(timing: StepTiming, seconds: list[float], megabytes: str) -> StepTiming:
        return replace(timing, native=Timing("", seconds), megabytes=megabytes)

    ghost = timing("ghost", [4.0, 2.0, 3.0], [1.0, 2.0, 2.0])
    dense = timing("dense", [3.0, 3.0, 3.0], [3.0, 3.0, 3.0])
    assert (ghost.gain, ghost.gains) == (1.5, (1.0, 4.0))
    ghost = native(ghost, [2.0, 2.0, 2.0], "300, 200")
    dense = native(dense, [1.0, 1.0, 1.0], "")
    table = steps_table([ghost, dense], {"ghost": "dense", "dense": "dense"})
    columns = [list(column.cells) for column in table.columns]
    assert columns == [
        ["ghost", "dense"],
        ["20", "20"],
        ["33", "33"],
        ["50", "33"],
        ["1 of 2", "1 of 2"],
        ["1.50 [1.00-4.00]", "1.00 [1.00-1.00]"],
        ["1.50 dense", ""],
        ["50", "100"],
        ["1.00 [0.50-1.00]", "3.00 [3.00-3.00]"],
        ["0.50 dense", ""],
        ["300, 200", ""],
    ]
