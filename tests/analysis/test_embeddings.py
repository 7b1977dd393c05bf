"""Embeddings: taken from any network, and numbers that can be checked by hand."""

import json
import runpy
import sys

import pytest
import torch
from helpers import ROOT
from torch import nn

from ghostexp.analysis.embeddings import (
    Embeddings,
    embed,
    equal_error_rate,
    knn_accuracy,
    verification_pairs,
)
from ghostexp.models.ghost_efficientnet import ghost_efficientnet_v2
from ghostexp.pictures.embeddings import draw_embeddings, write_projector


@pytest.fixture
def groups():
    """30 embeddings around three directions."""
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(30) % 3
    noise = 0.1 * torch.randn(30, 4, generator=generator)
    return Embeddings(torch.eye(4)[labels] + noise, labels)


def test_an_embedding_is_what_the_head_sees():
    net = ghost_efficientnet_v2(3, 1, width_mult=0.25, depth_mult=0.2, cosine_head=True)
    images, labels = torch.randn(5, 1, 32, 32), torch.tensor([0, 1, 2, 0, 1])
    batches = zip(images.split(2), labels.split(2), strict=True)
    found = embed(net, batches)
    assert torch.equal(found.labels, labels)
    torch.testing.assert_close(
        found.vectors, net.eval().embed(images).detach(), rtol=1e-4, atol=1e-5
    )
    with pytest.raises(ValueError, match="no linear layer"):
        embed(nn.Sequential(nn.Conv2d(1, 2, 1)), [])


@pytest.mark.parametrize(
    ("same", "others", "rate"),
    [
        ([0.9, 0.8, 0.7], [0.3, 0.2], 0.0),
        ([0.1, 0.2], [0.8, 0.9], 1.0),
        ([0.9, 0.3], [0.8, 0.1], 0.5),
        ([0.9, 0.6, 0.4], [0.7, 0.3, 0.2, 0.1], 0.25),
        ([0.5, 0.5], [0.5, 0.5], 0.5),  # no threshold tells them apart: half way between two
        ([0.9, 0.8, 0.8, 0.4], [0.8, 0.3, 0.2, 0.1], 0.25),
    ],
)
def test_equal_error_rates_by_hand(same, others, rate):
    scores = torch.tensor(same + others)
    kinds = torch.tensor([True] * len(same) + [False] * len(others))
    assert equal_error_rate(scores, kinds) == pytest.approx(rate)


def test_an_equal_error_rate_needs_both_kinds():
    with pytest.raises(ValueError, match="pairs of one class and pairs of two"):
        equal_error_rate(torch.rand(3), torch.tensor([True] * 3))


def test_pairs_are_all_pairs(groups):
    cosines, same = verification_pairs(groups)
    assert len(cosines) == 30 * 29 / 2
    assert same.sum() == 3 * 10 * 9 / 2
    expected = torch.cosine_similarity(groups.vectors[0], groups.vectors[1], dim=0)
    torch.testing.assert_close(cosines[0], expected)
    assert equal_error_rate(cosines, same) == 0


def test_neighbours_vote(groups):
    assert knn_accuracy(groups, groups, 5) == 1.0
    wrong = Embeddings(10 * groups.vectors, (groups.labels + 1) % 3)  # lengths do not count
    assert knn_accuracy(groups, wrong, 5) == 0.0
    with pytest.raises(ValueError, match="from 1 to the 30 training examples, not 31"):
        knn_accuracy(groups, groups, 31)


def test_picture_and_projector(groups, tmp_path):
    figure = draw_embeddings(groups, ["ann", "bob", "cem"])
    for axes in figure.axes[:2]:
        sizes = [len(points.get_offsets()) for points in axes.collections]
        assert sizes == [10, 10, 10]
    write_projector(tmp_path, groups, ["ann", "bob", "cem"])
    names = next(tmp_path.rglob("metadata.tsv")).read_text().split()
    assert names == ["ann", "bob", "cem"] * 10
    vectors = next(tmp_path.rglob("tensors.tsv")).read_text().splitlines()
    assert [float(value) for value in vectors[3].split()] == pytest.approx(
        groups.vectors[3].tolist(), abs=1e-5
    )


def test_the_script_takes_any_run(small_run, monkeypatch, capsys):
    run = small_run()

    def call(*arguments):
        monkeypatch.setattr(sys, "argv", ["embeddings.py", str(run), *arguments])
        with pytest.raises(SystemExit) as stop:
            runpy.run_path(str(ROOT / "scripts" / "embeddings.py"), run_name="__main__")
        return stop.value.code

    assert call("--examples", "60") == 0
    assert "equal error rate of 1770 test pairs" in capsys.readouterr().out
    numbers = json.loads((run / "embeddings" / "embeddings.json").read_text())
    assert numbers["test_examples"] == 60
    assert 0 <= numbers["equal_error_rate"] <= 1
    assert (run / "embeddings" / "embeddings.png").stat().st_size > 10_000
    assert call("--neighbours", "0") == 2
    assert "--neighbours: must be at least 1, not 0" in capsys.readouterr().err
    assert call("--neighbours", "9999") == 1
    assert "neighbours is a number from 1 to" in capsys.readouterr().err
