"""Figure of a report: the learning curves of all runs, laid over each other."""

from itertools import cycle
from statistics import fmean
from typing import Any

from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from ghostexp.results.circumstances import caption
from ghostexp.results.names import is_share, metric_name
from ghostexp.results.rows import Row
from ghostexp.results.standing import count_statuses, missing
from ghostexp.results.style import (
    LONGEST_LABEL,
    MARKERS,
    colors,
    legend_beside,
    new_figure,
    plain,
    remark,
)
from ghostexp.results.text import as_number, cut_apart

MOST_COLORS = 20  # rows that an eye can still tell apart by colour and marker
PALE = "#C3CAD1"


def draw_curves(rows: list[Row], metric: str, not_started: int) -> Figure | None:
    """Validation (else training) accuracy and training loss of every run over its epochs."""
    shown = _shown_metrics(rows, metric)
    if not shown:
        return None
    figure = new_figure(11.5, 5.0)
    panels = figure.subplots(1, len(shown), squeeze=False)[0]
    chosen = _best(rows, metric)
    for row in rows:
        if row not in chosen:
            _draw_row(panels, shown, row, {"color": PALE})
    names = cut_apart([row.label for row in chosen], LONGEST_LABEL)
    handles: list[Artist] = []
    palette = colors(len(chosen), ordered=_is_ordered(chosen))
    for row, name, color, marker in zip(chosen, names, palette, cycle(MARKERS), strict=False):
        look = {"color": color, "marker": marker, "markersize": 4}
        if _draw_row(panels, shown, row, look):
            handles.append(Line2D([], [], label=plain(name) + _standing(row), **look))
    if others := len(rows) - len(chosen):
        handles.append(Line2D([], [], color=PALE, label=f"{others} other rows"))
    for axes, name in zip(panels, shown, strict=True):
        _finish_panel(axes, name)
    legend_beside(figure, handles)
    remark(figure, [caption(rows), *_remarks(rows, shown, not_started)])
    return figure


def _shown_metrics(rows: list[Row], metric: str) -> list[str]:
    """Of the metrics that any run logged per epoch: an accuracy and the loss."""
    names = {name for row in rows for run in row.runs for name in run.curves}
    kind = metric.rpartition("/")[2]
    shown = [name for name in (f"val/{kind}", f"train/{kind}") if name in names][:1]
    return shown + [name for name in ("train/loss",) if name in names and name not in shown]


def _best(rows: list[Row], metric: str) -> list[Row]:
    """All rows, or the MOST_COLORS best ones, in the order of the table."""
    if len(rows) <= MOST_COLORS:
        return rows
    results = {id(row): row.share(metric) for row in rows}
    sign = -1 if is_share(metric) else 1  # a loss or an error rate is best where it is low
    known = [row for row in rows if results[id(row)]] or rows
    ranked = sorted(known, key=lambda row: sign * results[id(row)].mean if results[id(row)] else 0)
    best = {id(row) for row in ranked[:MOST_COLORS]}
    return [row for row in rows if id(row) in best]


def _is_ordered(rows: list[Row]) -> bool:
    """Whether the rows are the steps of one number, so that a scale of colours says something."""
    differing = [key for key in rows[0].values if len({str(row.values[key]) for row in rows}) > 1]
    return len(differing) == 1 and all(
        as_number(row.values[differing[0]]) is not None for row in rows
    )


def _draw_row(panels: list[Axes], shown: list[str], row: Row, look: dict[str, Any]) -> bool:
    """Draw the curves of a row's runs, and their mean if several are finished; False if none is."""
    is_drawn = False
    for axes, name in zip(panels, shown, strict=True):
        runs = [run for run in row.runs if run.curves.get(name)]
        whole = [run.curves[name] for run in runs if run.finished]
        thin = {"color": look["color"], "linewidth": 0.7, "alpha": 0.45}
        for run in runs:
            style = {"linestyle": "-" if run.finished else "--"}
            style |= thin if len(whole) > 1 else {"linewidth": 1.2, **look}
            _draw_curve(axes, run.curves[name], is_share(name), style)
        if len(whole) > 1:
            _draw_curve(axes, _mean(whole), is_share(name), {"linewidth": 1.8, **look})
        is_drawn |= bool(runs)
    return is_drawn


def _mean(curves: list[dict[int, float]]) -> dict[int, float]:
    """The mean at each epoch that all curves have."""
    common = set.intersection(*map(set, curves))
    return {epoch: fmean(curve[epoch] for curve in curves) for epoch in common}


def _draw_curve(axes: Axes, curve: dict[int, float], percent: bool, style: dict[str, Any]) -> None:
    epochs = sorted(curve)
    values = [curve[epoch] * (100 if percent else 1) for epoch in epochs]
    axes.plot(epochs, values, markevery=max(1, len(epochs) // 8), **style)


def _standing(row: Row) -> str:
    """` (1 failed)`: what of a row is not finished, for its legend entry."""
    counts = count_statuses(run for run in row.runs if not run.finished)
    parts = [f"{count} {name}" if len(row.runs) > 1 else name for name, count in counts.items()]
    return f" ({', '.join(parts)})" if parts else ""


def _remarks(rows: list[Row], shown: list[str], not_started: int) -> list[str]:
    drawn = [run for row in rows for run in row.runs if run.curves.keys() & set(shown)]
    remarks = [missing(rows, lambda run: bool(run.curves.keys() & set(shown)), not_started)]
    for name in shown:
        if without := sum(name not in run.curves for run in drawn):
            remarks.append(f"{without} more without {metric_name(name).removesuffix(', %')}")
    if any(sum(run.finished for run in row.runs) > 1 for row in rows):
        remarks.append("thick: mean of a row's runs")
    if any(not run.finished for run in drawn):
        remarks.append("dashed: not finished")
    return remarks


def _finish_panel(axes: Axes, name: str) -> None:
    """Names and ticks; losses over two orders of magnitude get a logarithmic axis."""
    axes.set(xlabel="epoch", ylabel=plain(metric_name(name)))
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.spines["right"].set_visible(False)
    values = [value for line in axes.lines for value in line.get_ydata() if value > 0]
    if name.endswith("loss") and values and max(values) / min(values) > 100:
        axes.set_yscale("log")
