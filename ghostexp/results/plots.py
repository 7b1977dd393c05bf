"""Figures of a report: accuracy against the swept number and against MACs (curves.py: epochs)."""

from itertools import cycle
from math import nan

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from ghostexp.results.collect import Run, as_number
from ghostexp.results.curves import draw_curves
from ghostexp.results.rows import Row, axis_name, describe, labels, short
from ghostexp.results.style import (
    GREY,
    MARKERS,
    OKABE_ITO,
    STYLE,
    label_points,
    missing,
    new_figure,
    plain,
    remark,
)

LONGEST_LABEL = 14  # characters that still fit beside a point
MACS = "MACs, M (multiply-adds)"


def draw(rows: list[Row], metric: str, not_started: int = 0) -> dict[str, Figure]:
    """Figures for which these rows hold the numbers, by name: `sweep`, `pareto`, `curves`."""
    with matplotlib.rc_context(STYLE):
        figures = {
            "sweep": draw_sweep(rows, metric, not_started),
            "pareto": draw_pareto(rows, metric, not_started),
            "curves": draw_curves(rows, metric, not_started),
        }
    return {name: figure for name, figure in figures.items() if figure is not None}


def draw_sweep(rows: list[Row], metric: str, not_started: int) -> Figure | None:
    """Accuracy against the swept number with most values, MACs on a second axis."""
    key = numeric_key([row for row in rows if row.metric(metric)])
    if key is None:
        return None
    done = [row for row in rows if row.metric(metric) and row.swept[key] is not None]
    figure = new_figure(8.5, 5.0)
    axes = figure.add_subplot()
    costs = axes.twinx()
    axes.set_zorder(costs.get_zorder() + 1)  # accuracy in front of its cost
    axes.patch.set_visible(False)
    lines = _split_lines(done, key)
    for (name, members), color, marker in zip(
        lines.items(), cycle(OKABE_ITO), cycle(MARKERS), strict=False
    ):
        _draw_accuracies(axes, members, key, metric, color, marker)
        axes.containers[-1].set_label(plain(name) or axis_name(metric))
        _draw_costs(costs, members, key, color)
    _mark_baseline(axes, done, key, metric)
    _set_x_axis(axes, [as_number(row.swept[key]) for row in done])
    axes.set(xlabel=plain(key), ylabel=axis_name(metric))
    _set_cost_axis(costs)
    handles = axes.get_legend_handles_labels()[0] + costs.get_legend_handles_labels()[0][:1]
    longest = max(len(handle.get_label()) for handle in handles)
    ncols = 3 if longest <= 36 else 2 if longest <= 48 else 1
    figure.legend(handles=handles, loc="outside upper center", ncols=ncols)
    remarks = [missing(rows, lambda run: _counts(run, metric), not_started)]
    if any(row.metric(metric).std is not None for row in done):
        remarks.append("bars: standard deviation over seeds")
    remark(figure, "; ".join(filter(None, remarks)))
    return figure


def draw_pareto(rows: list[Row], metric: str, not_started: int) -> Figure | None:
    """Accuracy against MACs; rows that no other row beats are joined."""
    points = [
        (macs / 1e6, row.share(metric).mean, label)
        for row, label in zip(rows, labels(rows), strict=True)
        if (macs := row.network("macs")) is not None and row.metric(metric)
    ]
    if len({macs for macs, _, _ in points}) < 2:
        return None
    front = pareto_front([(macs, accuracy) for macs, accuracy, _ in points])
    figure = new_figure(8.5, 5.0)
    axes = figure.add_subplot()
    xs, ys = zip(*front, strict=True)
    axes.step(xs, ys, "o-", where="post", color=OKABE_ITO[0], ms=8, label="Pareto front")
    beaten = [(x, y) for x, y, _ in points if (x, y) not in front]
    if beaten:
        xs, ys = zip(*beaten, strict=True)
        axes.plot(xs, ys, "s", color=OKABE_ITO[1], mfc="white", ms=7, mew=1.6)
        axes.lines[-1].set_label("beaten: another costs no more and is as good or better")
    axes.margins(0.1, 0.15)
    axes.set(xlabel=MACS, ylabel=axis_name(metric))
    axes.spines["right"].set_visible(False)
    figure.legend(loc="outside upper center", ncols=2)
    remark(figure, missing(rows, lambda run: _counts(run, metric), not_started))
    if any(len(label) > LONGEST_LABEL for _, _, label in points):
        points = _number(figure, points)
    label_points(figure, axes, points, front)
    return figure


def numeric_key(rows: list[Row]) -> str | None:
    """Swept key with most values among those that are numbers wherever they are known."""
    counts = {}
    for key in rows[0].swept if rows else ():
        values = [row.swept[key] for row in rows if row.swept[key] is not None]
        if values and all(as_number(value) is not None for value in values):
            counts[key] = len(set(values))
    key = max(counts, key=counts.__getitem__, default=None)
    return key if key and counts[key] > 1 else None


def pareto_front(points: list[tuple[float, float]]) -> list[tuple[float, float]]:
    """Points (cost, gain), by cost, that gain more than every other point of no higher cost."""
    front: list[tuple[float, float]] = []
    for cost, gain in sorted(points, key=lambda point: (point[0], -point[1])):
        if not front or gain > front[-1][1]:
            front.append((cost, gain))
    return front


def _counts(run: Run, metric: str) -> bool:
    return run.finished and run.record["metrics"].get(metric) is not None


def _split_lines(rows: list[Row], key: str) -> dict[str, list[Row]]:
    """Rows of one line each: those that agree in every swept value but `key`."""
    lines: dict[str, list[Row]] = {}
    for row in rows:
        others = {k: value for k, value in row.swept.items() if k != key}
        lines.setdefault(describe(others), []).append(row)
    return lines


def _number(
    figure: Figure, points: list[tuple[float, float, str]]
) -> list[tuple[float, float, str]]:
    """Points with numbers for labels, and a list beside the axes of what they stand for."""
    names = [Line2D([], [], ls="", label=f"{i}  {plain(p[2])}") for i, p in enumerate(points, 1)]
    ncols = 1 + len(points) // 28
    figure.legend(handles=names, loc="outside right upper", handlelength=0, fontsize=9, ncols=ncols)
    figure.set_figwidth(11.5)
    return [(x, y, str(i)) for i, (x, y, _) in enumerate(points, 1)]


def _draw_accuracies(
    axes: Axes, rows: list[Row], key: str, metric: str, color: str, marker: str
) -> None:
    shares = [row.share(metric) for row in rows]
    axes.errorbar(
        [as_number(row.swept[key]) for row in rows],
        [share.mean for share in shares],
        yerr=[nan if share.std is None else share.std for share in shares],
        color=color,
        marker=marker,
        markersize=7,
        capsize=3,
    )


def _draw_costs(axes: Axes, rows: list[Row], key: str, color: str) -> None:
    """MACs of a line's rows, unless another line of the same costs has drawn them."""
    points = [
        (as_number(row.swept[key]), macs / 1e6) for row in rows if (macs := row.network("macs"))
    ]
    if points and points not in [list(map(tuple, line.get_xydata())) for line in axes.lines]:
        axes.plot(*zip(*points, strict=True), "s--", ms=5, mfc="white", lw=1.3, color=color)


def _set_cost_axis(axes: Axes) -> None:
    if not axes.lines:
        axes.set_visible(False)
        return
    axes.lines[0].set_label("MACs (right axis)")
    if len(axes.lines) == 1:
        axes.lines[0].set_color(GREY)
    axes.grid(False)
    axes.set_ylabel(MACS, color=GREY)
    axes.set_ylim(0, 1.3 * max(max(line.get_ydata()) for line in axes.lines))


def _mark_baseline(axes: Axes, rows: list[Row], key: str, metric: str) -> None:
    """Ring around the plain convolution, ratio 1, and a line at its accuracy if it is one row."""
    plain_rows = [row for row in rows if short(key) == "ratio" and row.swept[key] == 1]
    for row in plain_rows:
        accuracy = row.share(metric).mean
        axes.plot(1, accuracy, "o", ms=15, mfc="none", mec="black", mew=1.4)
        if len(plain_rows) == 1:
            axes.axhline(accuracy, color="black", linestyle=":", linewidth=1.2)
    if plain_rows:
        axes.lines[-1].set_label("baseline: s = 1, plain convolution")


def _set_x_axis(axes: Axes, values: list[float]) -> None:
    """Ticks at the swept values; a logarithmic axis for learning rates and their like."""
    ticks = sorted(set(values))
    if ticks[0] > 0 and ticks[-1] / ticks[0] >= 50:
        axes.set_xscale("log")
    if len(ticks) <= 12:
        axes.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
        axes.set_xticks([], minor=True)
