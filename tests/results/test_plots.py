"""Figures: what they draw, what they say is missing, that they are the same each time."""

import random

import numpy as np
import pytest

from ghostexp.results.collect import collect
from ghostexp.results.curves import draw_curves
from ghostexp.results.plots import draw, draw_pareto, draw_sweep, numeric_key, pareto_front
from ghostexp.results.rows import Row, make_rows
from ghostexp.results.style import OKABE_ITO, colors, plain, render

METRIC = "test/acc"


@pytest.fixture
def rows_of(tmp_path):
    return lambda: make_rows(collect(tmp_path).runs)[1]


def texts(figure):
    return [text.get_text() for text in figure.findobj(lambda o: hasattr(o, "get_text"))]


def test_pareto_front_against_the_definition():
    draws = random.Random(0)
    for _ in range(50):
        points = [(draws.randint(1, 9), draws.randint(1, 9)) for _ in range(12)]
        unbeaten = {
            p for p in points if not any(q != p and q[0] <= p[0] and q[1] >= p[1] for q in points)
        }
        assert pareto_front(points) == sorted(unbeaten)


def test_sweep_draws_accuracy_and_macs(make_run, rows_of):
    for ratio, acc in ((1, 0.93), (2, 0.92), (10, 0.88)):
        make_run(f"a{ratio}", ratio=ratio, seed=0, acc=acc)
        make_run(f"b{ratio}", ratio=ratio, seed=1, acc=acc + 0.01)
    figure = draw_sweep(rows_of(), METRIC, 0)
    axes, costs = figure.axes
    np.testing.assert_allclose(axes.lines[0].get_xydata(), [[1, 93.5], [2, 92.5], [10, 88.5]])
    np.testing.assert_allclose(costs.lines[0].get_xydata(), [[1, 120], [2, 60], [10, 12]])
    assert "baseline: s = 1, plain convolution" in texts(figure)
    assert costs.get_ylabel() == "MACs, M (multiply-adds)"


def test_sweep_needs_two_numbers(make_run, rows_of):
    make_run("a")
    make_run("b", ratio=3, acc=None, status="failed")
    assert draw_sweep(rows_of(), METRIC, 0) is None
    assert draw_pareto(rows_of(), METRIC, 0) is None


def test_sweep_of_a_learning_rate_is_logarithmic(make_run, rows_of):
    for rate in (0.001, 0.01, 0.1):
        make_run(str(rate), swept={"optimizer.lr": rate, "sched": "cosine"})
    figure = draw_sweep(rows_of(), METRIC, 0)
    assert figure.axes[0].get_xscale() == "log"
    assert figure.axes[0].get_xlabel() == "optimizer.lr"


def test_numeric_key():
    rows = [Row({"a": 1, "b": 5, "c": "x", "d": i}, []) for i in range(3)]
    rows += [Row({"a": 2, "b": 5, "c": 3, "d": None}, [])]
    assert numeric_key(rows) == "d"
    assert numeric_key(rows[:1]) is None
    assert numeric_key([]) is None


def test_pareto_labels_cover_nothing(make_run, rows_of):
    for i in range(8):  # a heap of nearly equal points
        network = {"macs": 20_000_000 + 1000 * i, "params": 1}
        make_run(str(i), ratio=i + 1, acc=0.9 + 0.0001 * (i % 3), network=network)
    figure = draw_pareto(rows_of(), METRIC, 0)
    figure.draw_without_rendering()
    boxes = [text.get_window_extent() for text in figure.axes[0].texts]
    assert len(boxes) == 8
    for i, box in enumerate(boxes):
        assert not any(box.overlaps(other) for other in boxes[:i])


def test_missing_runs_are_counted(make_run, rows_of):
    for ratio in (2, 3, 4):
        make_run(str(ratio), ratio=ratio)
    make_run("5", ratio=5, acc=None, status="failed", losses=())
    make_run("6", ratio=6, acc=None, status="interrupted")
    rows = rows_of()
    sentence = "4 of 7 runs missing here: 1 interrupted, 1 failed, 2 not started"
    assert sentence in texts(draw_sweep(rows, METRIC, 2))
    assert sentence in texts(draw_pareto(rows, METRIC, 2))
    words = texts(draw_curves(rows, METRIC, 0))
    assert "1 of 5 runs missing here: 1 failed; dashed: not finished" in words
    assert "ratio=6 (interrupted)" in words


def test_curves_of_all_runs(make_run, rows_of):
    make_run("a", losses=(1.0, 0.5))
    make_run("b", ratio=3, losses=(500.0, 0.6), acc=None, status="interrupted")
    figure = draw_curves(rows_of(), METRIC, 0)
    accuracy, loss = figure.axes
    assert accuracy.get_ylabel() == "validation accuracy, %"
    np.testing.assert_allclose(accuracy.lines[0].get_xydata(), [[1, 50], [2, 75]])
    assert [line.get_linestyle() for line in loss.lines] == ["-", "--"]
    assert loss.get_yscale() == "log"  # one wild run hides no other


def test_curves_fall_back_on_training_accuracy(make_run, rows_of):
    folder = make_run("a")
    (folder / "metrics.csv").write_text("epoch,train/acc\n0,0.5\n")
    figure = draw_curves(rows_of(), METRIC, 0)
    assert [axes.get_ylabel() for axes in figure.axes] == ["training accuracy, %"]
    (folder / "metrics.csv").unlink()
    assert draw_curves(rows_of(), METRIC, 0) is None


def test_pictures_are_the_same_each_time_whatever_the_names(make_run, rows_of):
    make_run("a", swept={"tag": "$\\frac{$ <b>", "x": 1})
    make_run("b", swept={"tag": "_hidden & $x$", "x": 2}, network={"macs": 5})
    rows = rows_of()
    first, second = draw(rows, METRIC), draw(rows, METRIC)
    assert list(first) == ["sweep", "pareto", "curves"]
    for name in first:
        svg = render(first[name], "svg")
        assert svg == render(second[name], "svg")
        assert b"<b>" not in svg
    assert render(first["curves"], "png").startswith(b"\x89PNG")


def test_colors_are_distinct():
    assert colors(3) == list(OKABE_ITO[:3])
    assert len(set(colors(20))) == 20
    assert plain("a\n$b$") == r"a \$b\$"
    assert len(plain("x" * 100)) == 60
