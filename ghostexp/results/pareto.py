"""Figures of a report: accuracy against MACs or latency, and which rows no other row beats."""

from collections.abc import Callable
from dataclasses import dataclass

from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from ghostexp.results.circumstances import bars_of, caption
from ghostexp.results.names import is_share, metric_name
from ghostexp.results.rows import Row
from ghostexp.results.standing import missing
from ghostexp.results.style import (
    GREY,
    LONGEST_LABEL,
    OKABE_ITO,
    label_points,
    legend_above,
    legend_beside,
    new_figure,
    plain,
    remark,
)
from ghostexp.results.text import cut_apart

FITS_A_POINT = 14  # characters that still fit beside a point
MOST_NUMBERS = 20  # points that are numbered; if there are more, only the front has numbers
MACS = "MACs, M (multiply-adds)"

Point = tuple[float, float, str]  # cost, accuracy, label


@dataclass(frozen=True)
class Cost:
    """What a network costs, and the name of the axis; None for a row whose cost is unknown."""

    name: str
    of: Callable[[Row], float | None]


def _millions(row: Row) -> float | None:
    macs = row.network("macs")
    return None if macs is None else macs / 1e6


def _milliseconds(row: Row) -> float | None:
    latency = row.estimate(lambda run: run.record.get("latency_ms"))
    return latency and latency.mean


BY_MACS = Cost(MACS, _millions)


def latency_of(rows: list[Row]) -> Cost | None:
    """The latency, where all rows that have one were measured in one form on one machine."""
    named = {row.known(lambda run: run.record.get("latency_of")) for row in rows} - {None}
    if len(named) != 1:
        return None
    image, thread, form, *_ = named.pop().split(", ")
    return Cost(f"latency, ms ({image}, {thread}, {form})", _milliseconds)


def draw_pareto(
    rows: list[Row], metric: str, not_started: int, cost: Cost | None = BY_MACS
) -> Figure | None:
    """Accuracy against a cost; rows that no other row beats are joined."""
    if cost is None or not is_share(metric):
        return None
    known = [row for row in rows if cost.of(row) is not None and row.metric(metric)]
    if len({cost.of(row) for row in known}) < 2:
        return None
    shares = [row.share(metric) for row in known]
    pairs = [*zip(known, shares, strict=True)]
    points = [(cost.of(row), share.mean, row.label) for row, share in pairs]
    bars = [(cost.of(row), each.mean, each.std) for row, each in pairs if each.std is not None]
    front = pareto_front([(spent, accuracy) for spent, accuracy, _ in points])
    are_short = all(len(p[2]) <= FITS_A_POINT for p in points) and len(points) <= MOST_NUMBERS
    figure = new_figure(8.5 if are_short else 11.5, 5.0)
    axes = figure.add_subplot()
    handles = _draw_points(axes, points, front)
    _draw_bars(axes, bars)
    axes.margins(0.1, 0.15)
    axes.set(xlabel=cost.name, ylabel=plain(metric_name(metric)))
    axes.spines["right"].set_visible(False)
    if are_short:
        legend_above(figure, handles)
    else:
        points, numbers = _number(points, front)
        legend_beside(figure, [*handles, *numbers])
    shown = {run.directory for row in known for run in row.runs if run.finished}
    absent = missing(rows, lambda run: run.directory in shown, not_started)
    remark(figure, [caption(known), absent, bars_of(shares)])
    label_points(figure, axes, points, front, bars)
    return figure


def pareto_front(points: list[tuple[float, float]]) -> list[tuple[float, float]]:
    """Points (cost, gain), by cost, that gain more than every other point of no higher cost."""
    front: list[tuple[float, float]] = []
    for cost, gain in sorted(points, key=lambda point: (point[0], -point[1])):
        if not front or gain > front[-1][1]:
            front.append((cost, gain))
    return front


def _draw_points(axes: Axes, points: list[Point], front: list[tuple[float, float]]) -> list[Artist]:
    """Draw the front and what it beats; return the handles of a legend."""
    xs, ys = zip(*front, strict=True)
    axes.step(xs, ys, "o-", where="post", color=OKABE_ITO[0], ms=8, label="Pareto front")
    beaten = [(x, y) for x, y, _ in points if (x, y) not in front]
    if beaten:
        xs, ys = zip(*beaten, strict=True)
        label = "beaten: another is no dearer and no worse"
        axes.plot(xs, ys, "s", color=OKABE_ITO[1], mfc="white", ms=7, mew=1.6, label=label)
    return list(axes.lines)


def _draw_bars(axes: Axes, bars: list[tuple[float, float, float]]) -> None:
    """A thin line with caps for each bar: cost, accuracy, and its standard deviation."""
    for cost, accuracy, deviation in bars:
        axes.errorbar(cost, accuracy, deviation, fmt="none", ecolor=GREY, elinewidth=1, capsize=3)


def _number(
    points: list[Point], front: list[tuple[float, float]]
) -> tuple[list[Point], list[Artist]]:
    """Points with numbers for labels, and legend entries that say what the numbers stand for."""
    if len(points) > MOST_NUMBERS:
        points = [point for point in points if point[:2] in front]
    names = enumerate(cut_apart([name for _, _, name in points], LONGEST_LABEL), 1)
    entries = [Line2D([], [], ls="", label=f"{number}  {plain(name)}") for number, name in names]
    return [(x, y, str(number)) for number, (x, y, _) in enumerate(points, 1)], entries
