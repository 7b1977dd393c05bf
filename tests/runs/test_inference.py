"""Which networks are timed beside which, and what `ghostexp benchmark infer` writes."""

import json

import pytest
from helpers import main_of

from ghostexp.analysis.complexity import count_params
from ghostexp.config.explain import UserError
from ghostexp.results.latency_file import read_latency
from ghostexp.runs import inference
from ghostexp.runs.inference import default_models, subjects_of_models, subjects_of_run


def benchmark(monkeypatch, *arguments: str) -> int:
    """ghostexp benchmark with arguments; the exit code."""
    monkeypatch.setattr("sys.argv", ["benchmark.py", *map(str, arguments)])
    return main_of("benchmark")()


def test_networks_beside_a_twin_or_themselves_at_ratio_1():
    overrides = ["dataset=cifar10"]
    ghost, dense = subjects_of_models(["ghost_resnet56:resnet56"], overrides)
    assert (ghost.name, ghost.reference, dense.name) == ("ghost_resnet56", "resnet56", "resnet56")
    assert count_params(ghost.net) < count_params(dense.net)
    assert ghost.input_shape == (3, 32, 32)
    third, twin = subjects_of_models(["ghost_resnet56"], [*overrides, "model.ratio=3"])
    assert twin.name == third.reference == twin.reference == "ghost_resnet56, ratio 1"
    assert count_params(twin.net) == count_params(dense.net)
    assert count_params(third.net) < count_params(ghost.net)
    alone, other = subjects_of_models(["linear", "resnet20"], overrides)
    assert [alone.reference, other.reference] == ["linear", "resnet20"]
    (audio,) = subjects_of_models(["linear"], ["dataset=tones"])
    assert audio.input_shape == (1, 64, 63)


def test_peers_need_timm(monkeypatch):
    monkeypatch.setattr(inference, "find_spec", lambda name: None)
    assert default_models() == ["ghost_resnet56:resnet56"]
    with pytest.raises(UserError, match=r"peers need timm: pip install 'ghostexp\[timm\]'"):
        subjects_of_models(["peers"], [])


def test_the_latency_of_a_run_lands_in_its_folder(small_run, monkeypatch, tmp_path, capsys):
    run = small_run("model=linear")
    (subject,) = subjects_of_run(run)
    assert (subject.name, subject.reference, subject.input_shape) == (
        *("Sequential", "Sequential"),
        (1, 8, 8),
    )
    setting = ["--batch", "1", "--threads", "1", "--rounds", "1", "--forms", "eager,native"]
    out = tmp_path / "out"
    assert benchmark(monkeypatch, "infer", "--run", run, *setting, "--out", out) == 0
    assert "| eager | Sequential |" in capsys.readouterr().out
    assert read_latency(run)["latency_of"].startswith("one image, one thread, ")
    rows = json.loads((out / "inference.json").read_text())["rows"]
    assert [row["form"] for row in rows] == ["eager", "native"]
    assert sorted(path.name for path in out.iterdir()) == ["inference.json", "inference.md"]

    assert benchmark(monkeypatch, "infer", "--run", run, *setting[:-1], "slow") == 1
    assert "error: infer: forms are eager, " in capsys.readouterr().err


@pytest.mark.parametrize("words", [["--batch", "128"], ["--threads", "2"]])
def test_what_gives_a_run_no_latency_is_refused_before_it_is_timed(
    monkeypatch, capsys, words, tmp_path
):
    monkeypatch.setattr("ghostexp.commands.benchmark.inference.time_inference", None)  # would fail
    monkeypatch.setattr("ghostexp.commands.benchmark.inference.subjects_of_run", None)
    assert benchmark(monkeypatch, "infer", "--run", tmp_path, *words) == 1
    assert "measure with --batch 1 --threads 1" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []
