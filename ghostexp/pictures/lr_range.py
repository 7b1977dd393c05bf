"""The loss over the learning rate of a range test."""

from matplotlib.figure import Figure

from ghostexp.pictures.palette import OKABE_ITO


def lr_range_figure(
    rates: list[float], losses: list[float], smoothed: list[float], suggestion: float | None
) -> Figure:
    """Loss of each step and its smooth curve; a line stands at the suggested rate."""
    figure = Figure(figsize=(7, 4.2), layout="constrained")
    axes = figure.add_subplot()
    axes.plot(rates, losses, color="#C3CAD1", linewidth=1, label="loss of a step")
    axes.plot(rates, smoothed, color=OKABE_ITO[0], linewidth=2, label="smoothed")
    if suggestion is not None:
        label = f"steepest fall: {suggestion:.2g}"
        axes.axvline(suggestion, color=OKABE_ITO[1], linestyle="--", label=label)
    top = 1.5 * max(smoothed[: max(2, len(smoothed) // 2)])  # a loss that explodes hides the rest
    bottom = min(losses)
    axes.set(xscale="log", xlabel="learning rate (optimizer.lr)", ylabel="training loss")
    axes.set_ylim(bottom - 0.05 * (top - bottom), top)
    axes.grid(alpha=0.3)
    axes.legend()
    return figure
