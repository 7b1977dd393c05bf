"""Figures of a report: all of them, and accuracy against the swept number."""

from itertools import cycle
from math import nan

import matplotlib
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ghostexp.results.circumstances import bars_of, caption
from ghostexp.results.curves import draw_curves
from ghostexp.results.names import key_name, metric_name
from ghostexp.results.pareto import MACS, draw_pareto, latency_of
from ghostexp.results.rows import Row
from ghostexp.results.standing import missing
from ghostexp.results.style import (
    GREY,
    LONGEST_BELOW,
    LONGEST_LABEL,
    MARKERS,
    OKABE_ITO,
    STYLE,
    legend_above,
    legend_beside,
    new_figure,
    plain,
    remark,
)
from ghostexp.results.text import as_number, cut_apart, describe, short

MOST_ABOVE = 6  # legend entries above the axes; more of them stand beside
MOST_TICKS = 12


def draw(rows: list[Row], metric: str, not_started: int = 0) -> dict[str, Figure]:
    """Figures for which these rows hold the numbers, by name: `sweep`, `pareto`, `latency`..."""
    with matplotlib.rc_context(STYLE):
        figures = {
            "sweep": draw_sweep(rows, metric, not_started),
            "pareto": draw_pareto(rows, metric, not_started),
            "latency": draw_pareto(rows, metric, not_started, latency_of(rows)),
            "curves": draw_curves(rows, metric, not_started),
        }
    return {name: figure for name, figure in figures.items() if figure is not None}


def draw_sweep(rows: list[Row], metric: str, not_started: int) -> Figure | None:
    """Accuracy against the swept number with most values, MACs on a second axis."""
    key = swept_number([row for row in rows if row.metric(metric)])
    if key is None:
        return None
    done = [row for row in rows if row.metric(metric) and row.values[key] is not None]
    lines = _split_lines(done, key)
    figure = new_figure(8.5 if len(lines) < MOST_ABOVE else 11.5, 5.0)
    axes = figure.add_subplot()
    costs = axes.twinx()
    axes.set_zorder(costs.get_zorder() + 1)  # accuracy in front of its cost
    axes.patch.set_visible(False)
    names = cut_apart(list(lines), LONGEST_LABEL)
    for name, members, color, marker in zip(
        names, lines.values(), cycle(OKABE_ITO), cycle(MARKERS), strict=False
    ):
        _draw_accuracies(axes, members, key, metric, color, marker)
        axes.containers[-1].set_label(plain(name or metric_name(metric)))
        _draw_costs(costs, members, key, color)
    _mark_baseline(axes, done, key, metric)
    _set_x_axis(axes, [as_number(row.values[key]) for row in done])
    axes.set(xlabel=plain(key_name(key), LONGEST_BELOW), ylabel=plain(metric_name(metric)))
    _set_cost_axis(costs)
    _add_legend(figure, axes, costs)
    shown = {run.directory for row in done for run in row.runs if run.finished}
    absent = missing(rows, lambda run: run.directory in shown, not_started)
    remark(figure, [caption(done), absent, bars_of([row.metric(metric) for row in done])])
    return figure


def swept_number(rows: list[Row]) -> str | None:
    """Key with most values of those that were swept and are numbers wherever they are known.

    None where nothing was swept, or where no two rows differ in the key alone: a line through runs
    of several recipes would show no effect of it.
    """
    swept = {key for row in rows for run in row.runs for key in run.record["swept"]}
    counts = {}
    for key in rows[0].values if rows else ():
        values = [row.values[key] for row in rows if row.values[key] is not None]
        if key in swept and all(as_number(value) is not None for value in values):
            known = [row for row in rows if row.values[key] is not None]
            lines = _split_lines(known, key).values()
            if any(len({row.values[key] for row in line}) > 1 for line in lines):
                counts[key] = len(set(values))
    return max(counts, key=counts.__getitem__, default=None)


def _split_lines(rows: list[Row], key: str) -> dict[str, list[Row]]:
    """The rows of each line: they agree in every value except the value of `key`."""
    lines: dict[str, list[Row]] = {}
    for row in rows:
        others = {k: value for k, value in row.values.items() if k != key}
        lines.setdefault(describe(others), []).append(row)
    return lines


def _add_legend(figure: Figure, axes: Axes, costs: Axes) -> None:
    handles: list[Artist] = axes.get_legend_handles_labels()[0]
    handles = [*handles, *costs.get_legend_handles_labels()[0][:1]]
    place = legend_above if len(handles) <= MOST_ABOVE else legend_beside
    place(figure, handles)


def _draw_accuracies(
    axes: Axes, rows: list[Row], key: str, metric: str, color: str, marker: str
) -> None:
    shares = [row.share(metric) for row in rows]
    axes.errorbar(
        [as_number(row.values[key]) for row in rows],
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
        (as_number(row.values[key]), macs / 1e6) for row in rows if (macs := row.network("macs"))
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
    plain_rows = [row for row in rows if short(key) == "ratio" and row.values[key] == 1]
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
    if len(ticks) <= MOST_TICKS:
        axes.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
        axes.set_xticks([], minor=True)
