"""What the figures share: colours, fonts, size, legends and labels that do not overlap.

Colours are Okabe and Ito's, which colour-blind readers tell apart, or viridis for many ordered
lines; markers and dashes repeat what the colour says. No figure depends on a display or a clock.
"""

import io
import textwrap
from collections.abc import Iterator, Sequence
from itertools import pairwise
from math import cos, radians, sin

import matplotlib
import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke
from matplotlib.text import Annotation
from matplotlib.transforms import Bbox

from ghostexp.results.text import cut, one_line, printable

OKABE_ITO = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
MARKERS = "osD^vPX"
GREY = "#5F6B76"
STYLE = {
    "font.size": 11,
    "font.family": "DejaVu Sans",  # comes with matplotlib: the same picture on every machine
    "axes.spines.top": False,
    "axes.grid": True,
    "grid.color": "#E3E7EB",
    "axes.axisbelow": True,
    "axes.labelcolor": "#22272C",
    "legend.frameon": False,
    "legend.fontsize": 10,
    "lines.linewidth": 1.8,
    "svg.hashsalt": "ghostexp",
}
LONGEST_LABEL = 56  # characters of a label in a legend
LONGEST_BELOW = 72  # of a label below axes, which are wider
CHARACTER = 0.085  # inches, about, at the legends' size of letters
LABEL_GAPS = (7, 16, 28, 42)  # points between a marker and its label; the near one needs no line
LABEL_ANGLES = (90, 135, 180, 45, 0, -45, -90, -135)


def new_figure(width: float, height: float) -> Figure:
    """Empty figure, inches, whose parts make room for each other."""
    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)  # knows the size of a text before it is drawn
    return figure


def render(figure: Figure, file_format: str) -> bytes:
    """`figure` as the bytes of an svg or png file, the same for the same figure."""
    metadata = {"Date": None} if file_format == "svg" else {"Software": None}
    buffer = io.BytesIO()
    with matplotlib.rc_context(STYLE):
        figure.savefig(buffer, format=file_format, dpi=150, metadata=metadata)
    return buffer.getvalue()


def colors(count: int, *, ordered: bool) -> list[str | tuple[float, ...]]:
    """Colours of `count` lines, at most 20 unless they are `ordered`: then many are a scale."""
    if count <= len(OKABE_ITO):
        return list(OKABE_ITO[:count])
    if not ordered:
        pairs = matplotlib.colormaps["tab20"].colors  # ten colours, each dark and then light
        return [*pairs[::2], *pairs[1::2]][:count]
    viridis = matplotlib.colormaps["viridis"]
    return [viridis(0.92 * i / (count - 1)) for i in range(count)]  # the last tenth is too light


def plain(text: str, longest: int = LONGEST_LABEL) -> str:
    """`text` for a figure: no formula, one line, cut in the middle where it is long."""
    return cut(one_line(printable(text)), longest).replace("$", r"\$")


def remark(figure: Figure, parts: Sequence[str]) -> None:
    """Small lines below the figure: what it is about and what is not in it."""
    text = "; ".join(filter(None, map(one_line, parts))).replace("$", r"\$")
    width = round(figure.get_figwidth() / CHARACTER)
    figure.supxlabel(textwrap.fill(text, width), fontsize=9.5, color=GREY)


def legend_above(figure: Figure, handles: Sequence[Artist]) -> None:
    """The figure's only legend, above its axes, in as many columns as find room."""
    longest = max(len(handle.get_label()) for handle in handles) + 5  # 5: the line before it
    room = int(figure.get_figwidth() / (longest * CHARACTER))
    ncols = max(1, min(room, len(handles)))
    figure.legend(handles=list(handles), loc="outside upper center", ncols=ncols)


def legend_beside(figure: Figure, handles: Sequence[Artist]) -> None:
    """The figure's only legend, right of its axes; the figure grows to hold a long one."""
    figure.set_figheight(max(figure.get_figheight(), 0.4 + 0.21 * len(handles)))
    figure.legend(handles=list(handles), loc="outside right upper", fontsize=9)


def label_points(
    figure: Figure,
    axes: Axes,
    points: list[tuple[float, float, str]],
    steps: list[tuple[float, float]],
    bars: Sequence[tuple[float, float, float]] = (),
) -> None:
    """Write each label near its point (x, y, label), off all markers, labels and lines.

    `steps` are the corners of a stair: right from each to below the next, then up. `bars` are
    upright lines: x, y of the middle, and half of the length.
    """
    figure.draw_without_rendering()  # settles the layout
    pixels = figure.dpi / 72
    corners = [axes.transData.transform(corner) for corner in steps]
    centres = [axes.transData.transform((x, y)) for x, y, _ in points]
    taken = [_box(x, y, 10 * pixels, 10 * pixels) for x, y in centres]
    for (x, y), (next_x, next_y) in pairwise(corners):
        taken += [Bbox([(x, y), (next_x, y)]), Bbox([(next_x, y), (next_x, next_y)])]
    for x, y, half in bars:
        foot, top = axes.transData.transform([(x, y - half), (x, y + half)])
        taken.append(_box(*(foot + top) / 2, 6 * pixels, top[1] - foot[1]))
    for (x, y, label), centre in zip(points, centres, strict=True):
        text = axes.annotate(
            plain(label),
            (x, y),
            xytext=(0, 0),
            textcoords="offset points",
            fontsize=9.5,
            ha="center",
            va="center",
            path_effects=[withStroke(linewidth=3, foreground="white")],
            arrowprops={"arrowstyle": "-", "color": GREY, "lw": 0.8, "shrinkB": 4},
        )
        text.set_in_layout(False)
        taken.append(_place(text, centre, pixels, taken, axes.bbox))


def _place(
    text: Annotation, centre: np.ndarray, pixels: float, taken: list[Bbox], frame: Bbox
) -> Bbox:
    """Move `text` to the nearest free place around `centre`; return the box it takes there."""
    extent = text.get_window_extent()
    for dx, dy, is_far in _offsets(extent.width / pixels, extent.height / pixels):
        x, y = centre + pixels * np.array([dx, dy])
        box = _box(x, y, extent.width, extent.height)
        text.set_position((dx, dy))
        text.arrow_patch.set_visible(is_far)
        inside = frame.x0 < box.x0 and box.x1 < frame.x1 and frame.y0 < box.y0 and box.y1 < frame.y1
        if inside and not any(box.overlaps(other) for other in taken):
            break
    return box


def _offsets(width: float, height: float) -> Iterator[tuple[float, float, bool]]:
    """Places for a label of that size around a marker, nearest first, and whether it is far."""
    for gap in LABEL_GAPS:
        for angle in LABEL_ANGLES:
            dx = (width / 2 + gap) * cos(radians(angle))
            dy = (height / 2 + gap) * sin(radians(angle))
            yield dx, dy, gap > LABEL_GAPS[0]


def _box(x: float, y: float, width: float, height: float) -> Bbox:
    return Bbox.from_bounds(x - width / 2, y - height / 2, width, height)
