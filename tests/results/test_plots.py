"""Figures: what they draw, what they say is missing, that they are the same each time."""

import json
import random

import numpy as np
import pytest
from matplotlib.legend import Legend
from matplotlib.text import Text
from matplotlib.transforms import Bbox

from ghostexp.results.collect import collect
from ghostexp.results.curves import PALE, draw_curves
from ghostexp.results.pareto import draw_pareto, pareto_front
from ghostexp.results.plots import draw, draw_sweep, swept_number
from ghostexp.results.rows import make_rows
from ghostexp.results.style import LONGEST_BELOW, OKABE_ITO, colors, plain, render

METRIC = "test/acc"


@pytest.fixture
def rows_of(tmp_path):
    return lambda: make_rows(collect(tmp_path).runs)[1]


def texts(figure):
    return [text.get_text() for text in figure.findobj(lambda o: hasattr(o, "get_text"))]


def words_of(figure) -> str:
    """All texts of a figure, lines joined."""
    return " ".join(" ".join(texts(figure)).split())


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
    assert figure.axes[0].get_xlabel() == "learning rate (optimizer.lr)"


def test_the_longest_name_of_ours_stands_whole_below_the_axes(make_run, rows_of):
    for size in (1, 3):
        make_run(str(size), swept={"model.cheap_kernel_size": size})
    figure = draw_sweep(rows_of(), METRIC, 0)
    name = "kernel size d of the cheap operation (model.cheap_kernel_size)"
    assert figure.axes[0].get_xlabel() == name
    longest = figure.axes[0].xaxis.label
    longest.set_text("m" + "n" * (LONGEST_BELOW - 1))  # letters wider than those of a name
    figure.draw_without_rendering()
    assert longest.get_window_extent().width < figure.bbox.width


def test_the_swept_number_with_most_values_is_drawn(make_run, rows_of):
    for ratio, kernel in ((1, 3), (2, 3), (3, 3), (2, 5)):
        swept = {"model.ratio": ratio, "model.cheap_kernel_size": kernel, "sched": "cosine"}
        make_run(f"{ratio},{kernel}", swept=swept)
    assert swept_number(rows_of()) == "model.ratio"
    assert swept_number(rows_of()[:1]) is None
    assert swept_number([]) is None


def test_no_sweep_is_drawn_where_nothing_was_swept(make_run, rows_of):
    """Numbers that differ between recipes are no sweep, recorded or not."""
    make_run("a", ratio=2, swept={})
    make_run("b", ratio=3, swept={})
    assert draw_sweep(rows_of(), METRIC, 0) is None
    make_run("c", swept={"optimizer.lr": 0.1, "sched": "cosine"})
    make_run("d", swept={"optimizer.lr": 0.2, "sched": "step"})
    assert draw_sweep(rows_of(), METRIC, 0) is None  # no two differ in the rate alone
    make_run("e", swept={"optimizer.lr": 0.3, "sched": "step"})
    assert swept_number(rows_of()) == "optimizer.lr"


def test_no_front_of_a_metric_that_is_best_where_it_is_low(make_run, rows_of):
    for ratio in (2, 3):
        make_run(f"{ratio}", ratio=ratio, metrics={"test/eer": 0.1 * ratio})
    assert draw_pareto(rows_of(), "test/eer", 0) is None


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


def test_pareto_has_a_bar_of_one_deviation_for_each_row_of_several_seeds(make_run, rows_of):
    for ratio, acc in ((2, 0.92), (3, 0.9)):
        make_run(f"a{ratio}", ratio=ratio, seed=0, acc=acc)
        make_run(f"b{ratio}", ratio=ratio, seed=1, acc=acc + 0.01)
    make_run("c", ratio=4)
    figure = draw_pareto(rows_of(), METRIC, 0)
    bars = [bar.get_segments()[0] for bar in figure.axes[0].collections]
    deviation = 0.5**0.5  # of two values that are one point apart
    np.testing.assert_allclose(
        [bar[:, 1] for bar in bars],
        [[mean - deviation, mean + deviation] for mean in (92.5, 90.5)],
    )
    assert "bars: standard deviation over seeds" in words_of(figure)
    figure.draw_without_rendering()
    drawn = [Bbox(figure.axes[0].transData.transform(bar)) for bar in bars]
    for text in figure.axes[0].texts:
        box = Text.get_window_extent(text)  # without the line to its point
        assert not any(box.overlaps(bar) for bar in drawn)


def test_missing_runs_are_counted(make_run, rows_of):
    for ratio in (2, 3, 4):
        make_run(str(ratio), ratio=ratio)
    make_run("5", ratio=5, acc=None, status="failed", losses=())
    make_run("6", ratio=6, acc=None, status="interrupted")
    rows = rows_of()
    sentence = "4 of 7 runs missing here: 1 interrupted, 1 failed, 2 not started"
    assert sentence in words_of(draw_sweep(rows, METRIC, 2))
    assert sentence in words_of(draw_pareto(rows, METRIC, 2))
    words = words_of(draw_curves(rows, METRIC, 0))
    assert "1 of 5 runs missing here: 1 failed; dashed: not finished" in words
    assert "ratio=6 (interrupted)" in words


def test_figures_name_data_epochs_and_n(make_run, rows_of):
    for ratio in (2, 3):
        for seed in (0, 1):
            make_run(f"{ratio},{seed}", ratio=ratio, seed=seed, choices={"dataset": "cifar$10$"})
    figures = draw(rows_of(), METRIC)
    assert list(figures) == ["sweep", "pareto", "curves"]
    for figure in figures.values():
        assert r"cifar\$10\$; 2 epochs; n = 2 runs each" in words_of(figure)
    assert "ratio s of all maps to intrinsic maps (model.ratio)" in words_of(figures["sweep"])


def test_latency_is_a_cost_where_all_were_measured_alike(make_run, rows_of):
    measured = "one image, one thread, onnxruntime, AMD EPYC, 2 cores"
    for model, milliseconds, acc in (("a", 1.5, 0.8), ("b", 2.5, 0.7), ("c", 3.0, 0.9)):
        folder = make_run(model, acc=acc, choices={"model": model})
        latency = {"latency_ms": milliseconds, "latency_of": measured}
        (folder / "latency.json").write_text(json.dumps(latency))
    figure = draw(rows_of(), METRIC)["latency"]
    assert "latency, ms (one image, one thread, onnxruntime)" in words_of(figure)
    assert "missing" not in words_of(figure)
    make_run("unmeasured", ratio=9)
    words = words_of(draw(rows_of(), METRIC)["latency"])
    assert "1 of 4 runs missing here: 1 finished, not measured" in words
    assert figure.axes[0].lines[0].get_xydata().tolist() == [[1.5, 80.0], [3.0, 90.0]]
    latency["latency_of"] = measured.replace("onnxruntime", "openvino")
    (folder / "latency.json").write_text(json.dumps(latency))
    assert "latency" not in draw(rows_of(), METRIC)


def test_curves_of_all_runs(make_run, rows_of):
    make_run("a", losses=(1.0, 0.5))
    make_run("b", ratio=3, losses=(500.0, 0.6), acc=None, status="interrupted")
    figure = draw_curves(rows_of(), METRIC, 0)
    accuracy, loss = figure.axes
    assert accuracy.get_ylabel() == "validation accuracy, %"
    np.testing.assert_allclose(accuracy.lines[0].get_xydata(), [[1, 50], [2, 75]])
    assert [line.get_linestyle() for line in loss.lines] == ["-", "--"]
    assert loss.get_yscale() == "log"  # one wild run hides no other


def test_of_several_seeds_the_mean_is_thick_and_each_run_thin(make_run, rows_of):
    make_run("a", seed=0, losses=(1.0, 0.5))
    make_run("b", seed=1, losses=(2.0, 0.7))
    make_run("c", seed=2, losses=(9.0,), acc=None, status="interrupted")
    figure = draw_curves(rows_of(), METRIC, 0)
    *each, mean = figure.axes[1].lines
    assert [line.get_linestyle() for line in each] == ["-", "-", "--"]
    assert all(line.get_linewidth() < mean.get_linewidth() for line in each)
    np.testing.assert_allclose(mean.get_xydata(), [[1, 1.5], [2, 0.6]])
    assert "thick: mean of a row's runs" in words_of(figure)


@pytest.mark.parametrize("ordered", [True, False])
def test_a_scale_of_colours_is_for_the_steps_of_a_number(make_run, rows_of, ordered):
    for number in range(9):
        if ordered:
            make_run(f"{number}", ratio=number + 1)
        else:
            make_run(f"{number}", choices={"model": "abcdefghi"[number]})
    lines = draw_curves(rows_of(), METRIC, 0).axes[0].lines
    assert [line.get_color() for line in lines] == colors(9, ordered=ordered)


def test_curves_fall_back_on_training_accuracy(make_run, rows_of):
    folder = make_run("a")
    (folder / "metrics.csv").write_text("epoch,train/acc\n0,0.5\n")
    figure = draw_curves(rows_of(), METRIC, 0)
    assert [axes.get_ylabel() for axes in figure.axes] == ["training accuracy, %"]
    (folder / "metrics.csv").unlink()
    assert draw_curves(rows_of(), METRIC, 0) is None


def test_of_many_rows_the_best_are_coloured_and_named(make_run, rows_of):
    for number in range(60):
        make_run(f"{number}", ratio=number + 1, acc=0.5 + number / 200)
    rows = rows_of()
    figure = draw_curves(rows, METRIC, 0)
    (legend,) = figure.findobj(Legend)
    entries = [text.get_text() for text in legend.get_texts()]
    assert entries == [f"ratio={number}" for number in range(41, 61)] + ["40 other rows"]
    lines = figure.axes[0].lines
    assert sum(line.get_color() == PALE for line in lines) == 40
    assert len(lines) == 60
    numbered = draw_pareto(rows, METRIC, 0)
    front = pareto_front([(row.network("macs"), row.share(METRIC).mean) for row in rows])
    assert len(numbered.axes[0].texts) == len(front)


def shapes(make_run, shape: str) -> None:
    """Runs that make figures of every shape: short and long names, few and many, hostile ones."""
    if shape == "many":
        for number in range(60):
            make_run(f"{number}", ratio=number + 1, acc=0.5 + 0.4 * (number * 7 % 60) / 60)
    elif shape == "long":
        for number in range(8):
            swept = {"model": f"ghost_{'efficient_' * 9}v2_{number % 4}", "x": number // 4}
            make_run(f"{number}", ratio=number + 1, swept=swept | {"task": "classification " * 3})
    elif shape == "lines":
        for number in range(36):
            swept = {"model.ratio": 1 + number % 3, "model": f"network_{'x' * 30}_{number // 3}"}
            make_run(f"{number}", ratio=1 + number % 3, swept=swept)
    else:
        for number, name in enumerate(("$x^$", "$5_$", "\\frac{$", "a\udcff", "$$", "{}%_^")):
            swept = {"tag": f"{name} <b>", "x": number + 1}
            metrics = {"test/acc": 0.9, f"test/map_of_{name}": 0.1 * number}
            make_run(f"{number}", number + 1, swept=swept, name=name, metrics=metrics)


@pytest.mark.parametrize("shape", ["many", "long", "lines", "hostile"])
def test_legends_overlap_nothing_and_nothing_leaves_the_picture(make_run, rows_of, shape):
    shapes(make_run, shape)
    for figure in draw(rows_of(), METRIC, not_started=3).values():
        figure.draw_without_rendering()
        (legend,) = figure.findobj(Legend)
        box = legend.get_window_extent()
        canvas = figure.bbox.padded(2)
        for axes in figure.axes:
            tight = axes.get_tightbbox()
            assert not box.overlaps(tight)
            assert canvas.x0 <= tight.x0
            assert tight.x1 <= canvas.x1
            assert axes.bbox.width > 0.2 * figure.bbox.width
        assert canvas.x0 <= box.x0
        assert box.x1 <= canvas.x1
        assert canvas.y0 <= box.y0
        assert box.y1 <= canvas.y1
        (caption,) = figure.findobj(lambda o: isinstance(o, Text) and "; n = " in o.get_text())
        line = caption.get_window_extent()
        assert canvas.x0 <= line.x0
        assert line.x1 <= canvas.x1
        assert not any(line.overlaps(axes.get_tightbbox()) for axes in figure.axes)


def test_pictures_are_the_same_each_time_whatever_the_names(make_run, rows_of):
    shapes(make_run, "hostile")
    rows = rows_of()
    first, second = draw(rows, METRIC), draw(rows, METRIC)
    assert list(first) == ["pareto", "curves"]
    for name in first:
        svg = render(first[name], "svg")
        assert svg == render(second[name], "svg")
        assert b"<b>" not in svg
    assert render(first["curves"], "png").startswith(b"\x89PNG")


def test_a_metric_of_any_name_is_an_axis(make_run, rows_of):
    for ratio in (2, 3):
        make_run(f"{ratio}", ratio=ratio, metrics={"test/map_of_$x^$": 0.1 * ratio})
    for figure in draw(rows_of(), "test/map_of_$x^$").values():
        render(figure, "png")


def test_colors_are_distinct():
    assert colors(3, ordered=True) == list(OKABE_ITO[:3])
    for ordered in (True, False):
        assert len(set(colors(20, ordered=ordered))) == 20
    assert plain("a\n$b$") == r"a \$b\$"
    assert plain(f"start{'x' * 100}end").startswith("startx")
    assert plain(f"start{'x' * 100}end").endswith("xend")
    assert len(plain("x" * 100)) == 56
