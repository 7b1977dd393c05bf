"""`trainer.precision=auto` follows the device that trains, by what it computes in."""

import pytest
import torch

from ghostexp.config import precision
from ghostexp.config.precision import resolve_precision


@pytest.fixture
def machine(monkeypatch):
    """A machine with these instructions: the CPU's, whether there is a GPU and what it has."""

    def make(*, avx512_bf16=False, amx=False, onednn=True, gpu=None, mps=False):
        monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: avx512_bf16)
        monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: amx)
        monkeypatch.setattr(torch.backends.mkldnn, "is_available", lambda: onednn)
        monkeypatch.setattr(torch.cuda, "is_available", lambda: gpu is not None)
        monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: bool(gpu))
        monkeypatch.setattr(torch.backends.mps, "is_available", lambda: mps)

    return make


@pytest.mark.parametrize(
    ("parts", "accelerator", "expected"),
    [
        ({"avx512_bf16": True}, "auto", "bf16-mixed"),
        ({"amx": True}, "cpu", "bf16-mixed"),
        ({}, "auto", "32-true"),  # AVX2: bfloat16 is emulated
        ({"avx512_bf16": True, "onednn": False}, "cpu", "32-true"),
        ({"gpu": True}, "auto", "bf16-mixed"),
        ({"gpu": True}, "gpu", "bf16-mixed"),
        ({"gpu": True}, "cpu", "32-true"),  # the GPU does not train
        ({"gpu": False, "avx512_bf16": True}, "auto", "32-true"),  # an old GPU trains
        ({"gpu": False, "avx512_bf16": True}, "cpu", "bf16-mixed"),
        ({"mps": True, "avx512_bf16": True}, "auto", "32-true"),
        ({"avx512_bf16": True}, "tpu", "32-true"),
    ],
)
def test_auto_is_what_the_device_gains_by(machine, parts, accelerator, expected):
    machine(**parts)
    assert resolve_precision("auto", accelerator) == expected


@pytest.mark.parametrize("chosen", ["32-true", "bf16-true", 16, None])
def test_a_chosen_precision_stays(machine, chosen):
    machine(avx512_bf16=True)
    assert resolve_precision(chosen) == chosen


def test_a_run_is_told_that_its_precision_changes(app, small_run, monkeypatch):
    monkeypatch.setattr(precision, "_gains_by_bfloat16", lambda accelerator: False)
    folder = small_run("trainer.max_epochs=1")
    assert app(f"resume={folder}", "trainer.max_epochs=2") == 0
    log = folder / "train.log"
    assert "was trained in" not in log.read_text()
    monkeypatch.setattr(precision, "_gains_by_bfloat16", lambda accelerator: True)
    assert app(f"resume={folder}", "trainer.max_epochs=3") == 0
    assert (
        "this run was trained in 32-true and goes on in bf16-mixed, which trainer.precision=auto"
        " is on this machine: trainer.precision=32-true keeps the old one"
    ) in log.read_text()
    assert app(f"resume={folder}", "trainer.max_epochs=4", "trainer.precision=32-true") == 0
    assert log.read_text().count("was trained in") == 1
