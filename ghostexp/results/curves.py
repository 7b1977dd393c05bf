"""Figure of a report: the learning curves of all runs, laid over each other."""

from itertools import cycle

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from ghostexp.results.collect import read_curves
from ghostexp.results.rows import Row, axis_name, count_statuses, is_share, labels
from ghostexp.results.style import MARKERS, colors, missing, new_figure, plain, remark


def draw_curves(rows: list[Row], metric: str, not_started: int) -> Figure | None:
    """Validation (else training) accuracy and training loss of every run over its epochs."""
    curves = {run.directory: read_curves(run.directory) for row in rows for run in row.runs}
    names = {name for curve in curves.values() for name in curve}
    kind = metric.rpartition("/")[2]
    shown = [name for name in (f"val/{kind}", f"train/{kind}") if name in names][:1]
    shown += [name for name in ("train/loss",) if name in names and name not in shown]
    if not shown:
        return None
    figure = new_figure(11.5, 5.0)
    panels = figure.subplots(1, len(shown), squeeze=False)[0]
    looks = zip(rows, labels(rows), colors(len(rows)), cycle(MARKERS), strict=False)
    for row, label, color, marker in looks:
        legend = plain(label) + _standing(row)
        for run in row.runs:
            for axes, name in zip(panels, shown, strict=True):
                if curve := curves[run.directory].get(name):
                    _draw_curve(axes, curve, is_share(name), run.finished, color, marker)
                    axes.lines[-1].set_label(legend)
                    legend = None  # one entry a row
    for axes, name in zip(panels, shown, strict=True):
        _finish_panel(axes, name)
    figure.legend(loc="outside right upper", fontsize=9, ncols=1 + len(rows) // 28)
    drawn = {directory for directory, curve in curves.items() if curve.keys() & set(shown)}
    remarks = [missing(rows, lambda run: run.directory in drawn, not_started)]
    if any(not run.finished and run.directory in drawn for row in rows for run in row.runs):
        remarks.append("dashed: not finished")
    remark(figure, "; ".join(filter(None, remarks)))
    return figure


def _draw_curve(
    axes: Axes, curve: dict[int, float], percent: bool, finished: bool, color: str, marker: str
) -> None:
    epochs = sorted(curve)
    axes.plot(
        [epoch + 1 for epoch in epochs],
        [curve[epoch] * (100 if percent else 1) for epoch in epochs],
        linestyle="-" if finished else "--",
        linewidth=1.2,
        marker=marker,
        markersize=4,
        markevery=max(1, len(epochs) // 8),
        color=color,
    )


def _standing(row: Row) -> str:
    """` (1 failed)`: what of a row is not finished, for its legend entry."""
    counts = count_statuses(run for run in row.runs if not run.finished)
    parts = [f"{count} {name}" if len(row.runs) > 1 else name for name, count in counts.items()]
    return f" ({', '.join(parts)})" if parts else ""


def _finish_panel(axes: Axes, name: str) -> None:
    """Names and ticks; losses over two orders of magnitude get a logarithmic axis."""
    axes.set(xlabel="epoch", ylabel=axis_name(name))
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.spines["right"].set_visible(False)
    values = [value for line in axes.lines for value in line.get_ydata() if value > 0]
    if name.endswith("loss") and values and max(values) / min(values) > 100:
        axes.set_yscale("log")
