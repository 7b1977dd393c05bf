"""One row for each network, whatever happens to it; and a random tenth of the published rows.

GHOSTEXP_ALL=1 makes all rows of this tenth again, which takes minutes; else only the quickest.
"""

import os
import random
import sys

import pytest
import torch
from helpers import ROOT

from ghostexp.commands import any_network as command
from ghostexp.runs import any_network, any_network_table
from ghostexp.runs.any_network import Row, examine
from ghostexp.runs.any_network_table import make_rows, read_rows, write_table

PUBLISHED = ROOT / "outputs" / "published" / "any_network"
EQUAL = (  # what a row says again, on any machine
    *("side", "convolutions", "replaced", "kept", "params_before", "params_after"),
    *("without_gradient", "dense_without_gradient", "dead_taps", "norms", "norms_left"),
)


def random_tenth() -> list[Row]:
    rows = sorted(read_rows(PUBLISHED / "rows.jsonl"), key=lambda row: row.network)
    tenth = random.Random(0).sample(rows, len(rows) // 10)
    tenth.sort(key=lambda row: row.seconds)
    return tenth if os.environ.get("GHOSTEXP_ALL") else tenth[:4]


@pytest.fixture
def two_rows(tmp_path):
    """A network that goes through, and one that does not exist, each in its own process."""
    path = tmp_path / "rows.jsonl"
    networks = ["torchvision.squeezenet1_1", "torchvision.no_such_network"]
    make_rows(networks, path, export=False, workers=1, timeout=120)
    return {row.network: row for row in read_rows(path)}


def test_a_row_tells_what_was_done(two_rows, tmp_path):
    row = two_rows["torchvision.squeezenet1_1"]
    assert row.stopped == ""
    assert (row.convolutions, row.replaced, row.side) == (26, 25, 64)
    assert [*row.kept.values()] == [1]
    assert row.params_after < row.params_before == 727_626
    assert 1 < row.loss < 5
    assert (row.without_gradient, row.dead_taps) == ([], 0)
    assert row.fused_difference < 1e-6
    head = write_table([*two_rows.values()], tmp_path / "report.md")
    assert "1 (50.0%) reach the end of every stage" in head
    text = (tmp_path / "report.md").read_text()
    assert "| torchvision.no_such_network |" in text
    assert "build: ValueError: Unknown model no_such_network" in text


def test_a_process_that_dies_or_hangs_is_a_row(tmp_path, monkeypatch):
    def end(network, *, export):
        if network == "dies":
            os._exit(9)
        torch.futures.Future().wait()  # for ever

    monkeypatch.setattr(any_network_table, "examine", end)
    make_rows(["dies", "hangs"], tmp_path / "rows.jsonl", export=False, workers=2, timeout=2)
    stopped = {row.network: row.stopped for row in read_rows(tmp_path / "rows.jsonl")}
    assert stopped == {
        "dies": "process: the process ended with 9",
        "hangs": "process: not done in 2 s",
    }


def test_a_gradient_that_the_conversion_loses_is_found(monkeypatch):
    """The check itself: a converted layer that is cut off, and one that was so before."""

    def cut(dense, row):
        net = any_network.deepcopy(dense)
        net.fc.requires_grad_(True)
        net.layer4.register_forward_hook(lambda *values: values[2].detach())
        return net

    monkeypatch.setattr(any_network, "_convert", cut)
    row = examine("torchvision.resnet18")
    assert "conv1.weight" in row.without_gradient
    assert "fc.weight" not in row.without_gradient
    assert row.dense_without_gradient == 0


def test_a_second_start_makes_only_what_is_missing(tmp_path, monkeypatch, capsys):
    made = []

    def make(networks, path, **_):
        made.append(list(networks))
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("a") as file:
            for network in networks:
                file.write(any_network_table.json.dumps(vars(Row(network, loss=1.0))) + "\n")

    monkeypatch.setattr(command, "make_rows", make)
    for networks in (["a"], ["a", "b"]):
        monkeypatch.setattr(sys, "argv", ["any_network.py", *networks, "--out", str(tmp_path)])
        assert command.main() == 0
    assert made == [["a"], ["b"]]
    assert "2 networks" in capsys.readouterr().out


@pytest.mark.parametrize("published", random_tenth(), ids=lambda row: row.network)
def test_a_published_row_is_made_again(published):
    pytest.importorskip("timm", reason="timm is an extra")
    row = examine(published.network)
    assert {key: getattr(row, key) for key in EQUAL} == {
        key: getattr(published, key) for key in EQUAL
    }
    assert row.loss == pytest.approx(published.loss, rel=0.01)
    if published.fused_difference is not None:
        assert row.fused_difference < 1e-3


def test_the_published_list_is_of_many_families():
    pytest.importorskip("timm", reason="timm is an extra")
    networks = (PUBLISHED / "networks.txt").read_text().split()
    assert len(networks) == len(set(networks))
    assert sum(name.startswith("timm.") for name in networks) >= 300
    import torchvision

    every = [
        *torchvision.models.list_models(torchvision.models),
        *torchvision.models.list_models(torchvision.models.detection),
    ]
    assert {f"torchvision.{name}" for name in every} <= set(networks)
