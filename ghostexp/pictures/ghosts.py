"""Pictures of a Ghost module's maps for one image."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure, SubFigure
from torch import Tensor, nn

from ghostexp.analysis.copy_fit import CopyFit
from ghostexp.analysis.features import GhostMaps, ghost_maps
from ghostexp.analysis.ghost_copies import GhostRow, describe_ghosts
from ghostexp.pictures.text import plain

ROWS = 4  # intrinsic maps below each other
MAX_GHOSTS = 4  # of one intrinsic map
CELL, TOP, BOTTOM = 1.3, 0.4, 0.95  # inches
GREY = "#5F6B76"


def picture_ghosts(
    net: nn.Module, layer: str, inputs: Tensor, picture: Tensor, caption: str = ""
) -> tuple[Figure, list[GhostRow]]:
    """Picture of a layer for one normalised example [1, C, H, W], and its ghosts' rows."""
    (maps,) = ghost_maps(net, [layer], inputs).values()
    fit = CopyFit()
    fit.update(maps, [maps.ghosts])
    rows = describe_ghosts(layer, maps.kernels, fit.correlations())
    return draw_ghosts(maps, rows, picture, caption), rows


def draw_ghosts(
    maps: GhostMaps, rows: list[GhostRow], picture: Tensor, caption: str = ""
) -> Figure:
    """One line per intrinsic map: the map, then each cheap kernel and the ghost it makes.

    `maps` are of one example, `picture` shows it: [C, H, W], uint8 or in [0, 1].
    """
    count = maps.intrinsic.shape[1]
    ghosts = min(maps.each, MAX_GHOSTS)
    blocks = min(-(-count // ROWS), max(1, 4 - ghosts))  # side by side
    lines = min(count, ROWS)
    shown = min(count, blocks * lines)
    widths = [1.0, *[0.6, 1.0] * ghosts]
    block_width = sum(widths) + 0.5
    height = TOP + lines * CELL + BOTTOM
    figure = Figure(figsize=(CELL * (2.2 + blocks * block_width), height))
    FigureCanvasAgg(figure)
    left, *parts = figure.subfigures(1, 1 + blocks, width_ratios=[2.2, *[block_width] * blocks])
    _draw_input(left, picture, caption, rows[0].layer, height)
    space = {"left": 0.05, "right": 0.97, "wspace": 0.1, "hspace": 0.3}
    space |= {"top": 1 - TOP / height, "bottom": BOTTOM / height}
    for block, part in enumerate(parts):
        cells = part.subplots(
            lines, len(widths), squeeze=False, width_ratios=widths, gridspec_kw=space
        )
        for line in range(lines):
            intrinsic = block * lines + line
            _draw_line(cells[line], maps, rows, intrinsic if intrinsic < shown else None)
    figure.text(0.02, 0.02, _legend(maps, shown, ghosts), fontsize=8.5, color=GREY, va="bottom")
    return figure


def _draw_input(part: SubFigure, picture: Tensor, caption: str, layer: str, height: float) -> None:
    side = 1.9 * CELL / height
    axes = part.add_axes((0.08, 1 - TOP / height - side, 0.86, side))
    image = picture.permute(1, 2, 0).numpy()
    axes.imshow(image.squeeze(), cmap="gray", interpolation="nearest")
    axes.set_axis_off()
    axes.set_title(plain(caption) or "input", fontsize=10)
    axes.text(0.5, -0.05, layer, transform=axes.transAxes, ha="center", va="top", weight="bold")


def _draw_line(
    cells: np.ndarray, maps: GhostMaps, rows: list[GhostRow], intrinsic: int | None
) -> None:
    for axes in cells:
        axes.set_axis_off()
    if intrinsic is None:
        return
    _show(cells[0], maps.intrinsic[0, intrinsic], f"intrinsic map {intrinsic}")
    for which in range((len(cells) - 1) // 2):
        ghost = intrinsic * maps.each + which
        if ghost >= len(rows):
            continue  # cut off
        kernel, picture = cells[1 + 2 * which], cells[2 + 2 * which]
        weights = maps.kernels[ghost]
        limit = float(weights.abs().max()) or 1.0
        kernel.imshow(weights.numpy(), cmap="RdBu_r", vmin=-limit, vmax=limit)
        row = rows[ghost]
        copy = "inverted" if row.inverted else "copy"
        _show(
            picture, maps.ghosts[0, ghost], f"r {row.correlation:+.2f}, {copy} {row.explained:.0%}"
        )


def _show(axes: Axes, one_map: Tensor, foot: str) -> None:
    axes.imshow(one_map.cpu().numpy(), cmap="viridis", interpolation="nearest")
    axes.text(0.5, -0.03, foot, transform=axes.transAxes, ha="center", va="top", fontsize=8)


def _legend(maps: GhostMaps, shown: int, ghosts: int) -> str:
    parts = []
    if shown < maps.intrinsic.shape[1]:
        parts.append(f"{shown} of {maps.intrinsic.shape[1]} intrinsic maps")
    if ghosts < maps.each:
        parts.append(f"{ghosts} of {maps.each} ghosts of each")
    parts.append("each map on its own scale, kernels red above 0 and blue below")
    remarks = "; ".join(parts)
    remarks = remarks[0].upper() + remarks[1:]
    return "\n".join(
        [
            "Left to right: intrinsic map, cheap kernel, the ghost it makes. r: their correlation.",
            "copy, inverted: share of the ghost's variance that the intrinsic map explains, shifted"
            " and blurred at best,",
            f"with a positive or a negative gain, in this image. {remarks}.",
        ]
    )
