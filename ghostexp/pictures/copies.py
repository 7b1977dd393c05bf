"""How much of the ghosts a shifted, blurred copy explains, by depth, beside random kernels."""

from collections.abc import Sequence

from matplotlib.figure import Figure

from ghostexp.analysis.ghost_copies import GOOD_COPY, LayerSummary
from ghostexp.pictures.ghosts import GREY
from ghostexp.pictures.palette import OKABE_ITO

INCHES_OF_A_LAYER = 0.16


def picture_copies(layers: Sequence[LayerSummary], control: Sequence[LayerSummary]) -> Figure:
    """Two panels: the explained share, and the share of good copies, of each Ghost module.

    `layers` and `control` are the means of the same modules, in the order of the network.
    """
    names = [row.layer for row in layers]
    figure = Figure(figsize=(max(7.0, INCHES_OF_A_LAYER * len(names)), 5.2), layout="constrained")
    above, below = figure.subplots(2, 1, sharex=True)
    for axes, metric in ((above, "explained"), (below, "good_copies")):
        trained, random = (
            [100 * getattr(row, metric) for row in rows] for rows in (layers, control)
        )
        axes.vlines(names, trained, random, color=GREY, linewidth=0.8)
        axes.plot(names, random, "s", mfc="white", color=OKABE_ITO[1], ms=4, label="random kernels")
        axes.plot(names, trained, "o", color=OKABE_ITO[0], ms=4.5, label="trained kernels")
    above.set_ylabel("explained by a copy, %")
    below.set_ylabel(f"ghosts with {GOOD_COPY:.0%} or more, %")
    for axes in (above, below):
        axes.set_ylim(0, 102)
        axes.grid(axis="y", alpha=0.3)
    above.legend(loc="lower right", ncols=2)
    below.tick_params(axis="x", rotation=90, labelsize=7)
    below.set_xlim(-0.5, len(names) - 0.5)
    return figure
