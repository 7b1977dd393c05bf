"""`ghostexp benchmark steps`: both precisions, every network, and the smallest gain in words."""

import json
from dataclasses import replace

import pytest
from helpers import main_of

from ghostexp.analysis import step_latency
from ghostexp.analysis.benchmark import Timing
from ghostexp.config import precision
from ghostexp.runs.step_times import precisions, smallest_gain

STEPS = (
    *("steps", "--models", "resnet20:linear", "--batch", "3", "--threads", "1", "--rounds", "1"),
    *("dataset=digits", "dataset.image_size=8"),
)


@pytest.mark.parametrize(
    ("overrides", "gains", "expected"),
    [
        ([], True, ["32-true", "bf16-mixed"]),
        ([], False, ["32-true"]),  # bfloat16 is emulated there
        (["trainer.precision=bf16-mixed", "dataset=digits"], False, ["bf16-mixed"]),
        (["trainer.precision=auto"], True, ["32-true", "bf16-mixed"]),
    ],
)
def test_precisions_are_those_of_runs(monkeypatch, overrides, gains, expected):
    monkeypatch.setattr(precision, "_gains_by_bfloat16", lambda accelerator: gains)
    assert precisions(overrides) == expected


def test_the_smallest_gain_is_named():
    def timing(name: str, ours: float) -> step_latency.StepTiming:
        return step_latency.StepTiming(
            name, 1, Timing("", [9.0]), Timing("", [3.0]), Timing("", [ours]), "1 of 1"
        )

    said = smallest_gain([timing("a", 2.0), timing("b", 3.125), timing("c", 3.0)])
    assert said == "callbacks=fast is at least 0.96 times as fast as torch (b)"
    native = replace(timing("d", 3.0), native=Timing("", [2.0]))
    assert smallest_gain([timing("b", 3.125), native]) == (
        "callbacks=fast is at least 0.96 times as fast as torch (b), and callbacks=native at least"
        " 1.50 times as fast as the fastest other form (d)"
    )


def refused(net: object) -> None:
    raise ValueError("no kernel")


def test_the_command_prints_a_table_for_each_precision(monkeypatch, capsys, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(step_latency, "NativeStep", lambda: refused)
    known = tmp_path / "ghostexp" / "kernels.jsonl"
    known.parent.mkdir()
    known.write_text("measured on a busy machine\n")
    monkeypatch.setattr(precision, "_gains_by_bfloat16", lambda accelerator: True)
    assert main_of("benchmark")([*STEPS, "--out", str(tmp_path / "steps")]) == 0
    rows = json.loads((tmp_path / "steps" / "steps.json").read_text())["rows"]
    assert [row["network"] for row in rows] == [*["resnet20"] * 3, *["linear"] * 3] * 2
    assert all(row["reference"] == "linear" and len(row["seconds"]) == 1 for row in rows)
    printed = capsys.readouterr().out
    for words in ("batch 3, 1 thread, 32-true", "batch 3, 1 thread, bf16-mixed"):
        assert printed.count(f"training steps, {words}") == 2  # title and last lines
    rows = [line.split("│")[1:] for line in printed.splitlines() if line.startswith("│ ")]
    assert [row[0].strip() for row in rows] == ["resnet20", "linear"] * 2
    assert [row[4].strip() for row in rows] == ["0 of 21", "0 of 0"] * 2
    assert printed.count("callbacks=fast is at least") == 2
    assert not known.exists()  # everything was forgotten; these maps are too small to be measured
