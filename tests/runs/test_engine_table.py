"""The engine table: its groups, its rounds, and what the page of it says."""

import json

import pytest
import torch
from helpers import main_of

from ghostexp.analysis.complexity import count_macs
from ghostexp.models import g_ghost_resnet56, resnet20, resnet32
from ghostexp.results import engine_table
from ghostexp.results.engine_table import to_markdown
from ghostexp.results.latency_file import document
from ghostexp.runs.engine_table import Group, groups, time_engines

SMALL = Group(
    "small images",
    {"ResNet-32": resnet32, "ResNet-20": resnet20},
    (3, 8, 8),
    batch_size=2,
    threads=1,
)


def test_every_group_holds_smaller_dense_networks_beside_the_ghost_forms():
    cifar, regnet = groups()["cifar"], groups()["regnet"]
    macs = {}
    with torch.device("meta"):
        for name in ("ResNet-44", "ResNet-32", "G-Ghost-ResNet-56"):
            macs[name] = count_macs(cifar.networks[name](), (3, 32, 32))
    assert [*macs.values()] == [97_436_288, 69_124_736, 51_640_064]
    assert (cifar.batch_size, cifar.threads) == (128, 2)
    assert [*regnet.networks] == ["RegNetX 3.2", "RegNetX 1.6", "G-Ghost RegNetX 3.2"]
    assert {(group.batch_size, group.threads) for group in (regnet, groups()["mobile"])} == {(1, 1)}


def test_the_rounds_are_kept_and_the_table_names_the_fastest():
    rows = time_engines([SMALL], ["eager", "fused"], rounds=3)
    assert [(row["network"], row["form"]) for row in rows] == [
        *(("ResNet-32", "eager"), ("ResNet-20", "eager")),
        *(("ResNet-32", "fused"), ("ResNet-20", "fused")),
    ]
    assert all(len(row["seconds"]) == 3 for row in rows)
    rows[0] |= {"ms": 3.0, "fastest_ms": 2.5, "slowest_ms": 3.5}
    rows[1] |= {"ms": 2.0, "fastest_ms": 1.5, "slowest_ms": 2.5, "speed_ratio": 1.5}
    rows[3] |= {"ms": None, "note": "no kernel"}
    text = to_markdown(document(rows, "a machine", "ghostexp benchmark engines"))
    assert "**small images, batch 2, 1 thread**; ms, and times as fast as ResNet-32" in text
    assert "| ResNet-32 | 0.47 | 4.3 (1/1.00) | 3.00 [2.50-3.50] |" in text
    assert "| ResNet-20 | 0.27 | 2.6 (1/1.69) | 2.00 [1.50-2.50] **1.50** | no time |" in text
    assert "- torch eager, fastest first: ResNet-20 2.00, ResNet-32 3.00" in text
    assert "- no time for ResNet-20: torch, norms folded: no kernel" in text


def test_networks_are_the_same_in_every_process_and_their_logits_are_moderate():
    group = Group("g", {"G-Ghost-ResNet-56": g_ghost_resnet56}, (3, 16, 16), 1, 1)
    (one,), (two,) = group.subjects(), group.subjects()
    images = torch.randn(4, 3, 16, 16)
    with torch.no_grad():
        logits = one.net(images)
        assert torch.equal(logits, two.net(images))
        assert 0.01 < logits.std() < 100
    assert not one.net.training


def test_the_command_writes_table_and_rounds(monkeypatch, tmp_path, capsys):
    command = main_of("benchmark")
    monkeypatch.setattr("ghostexp.commands.benchmark.inference.groups", lambda: {"small": SMALL})
    words = ["engines", "--rounds", "1", "--forms", "eager", "--out", str(tmp_path / "out")]
    assert command(words) == 0
    assert "| ResNet-20 |" in capsys.readouterr().out
    everything = json.loads((tmp_path / "out" / "engines.json").read_text())
    assert [len(row["seconds"]) for row in everything["rows"]] == [1, 1]
    assert (tmp_path / "out" / "engines.md").read_text() == engine_table.to_markdown(everything)
    assert command(["engines", "--groups", "large"]) == 1
    assert "--groups are small, not large" in capsys.readouterr().err


def test_timm_is_asked_for(monkeypatch, capsys):
    monkeypatch.setattr("ghostexp.runs.engine_table.find_spec", lambda name: None)
    assert main_of("benchmark")(["engines"]) == 1
    assert "engines needs timm: pip install 'ghostexp[timm]'" in capsys.readouterr().err


@pytest.mark.extras
def test_the_whole_table_in_every_engine():
    for name, group in groups().items():
        rows = time_engines([group], ["eager", "fused", "onnxruntime", "openvino"], rounds=1)
        assert [row["note"] for row in rows] == [""] * len(rows), name
