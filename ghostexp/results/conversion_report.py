"""Table and picture of what `ghostexp convert` measured, and the files of both."""

from pathlib import Path
from statistics import median
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ghostexp.results.latency_file import write_measured
from ghostexp.results.style import (
    GREY,
    OKABE_ITO,
    STYLE,
    legend_above,
    new_figure,
    plain,
    remark,
    render,
)
from ghostexp.results.text import quoted, table_row

Document = dict[str, Any]
COLUMNS = (
    ("layer (and others like it)", "---"),
    ("input", "---"),
    ("MACs, M", "---:"),
    ("dense, ms", "---:"),
    ("Ghost, ms", "---:"),
    ("saved by all, ms", "---:"),
    ("becomes", "---"),
)


def write_conversion(document: Document, folder: Path) -> list[Path]:
    """conversion.json with the rounds, conversion.md and conversion.png."""
    paths = write_measured(document, folder, "conversion", to_markdown(document))
    paths.append(folder / "conversion.png")
    paths[-1].write_bytes(render(draw_savings(document), "png"))
    return paths


def to_markdown(document: Document) -> str:
    """What was measured of each layer, and of the network: medians, with the rounds' extremes."""
    lines = [
        f"{document['setting']}; {document['circumstances']}; {document['measured']}",
        "",
        f"    {quoted(document['command'])}",
        "",
        *summary(document),
        "",
        table_row(name for name, _ in COLUMNS),
        table_row(rule for _, rule in COLUMNS),
        *(table_row(_cells(layer)) for layer in document["layers"]),
    ]
    return "\n".join(lines) + "\n"


def summary(document: Document) -> list[str]:
    """The whole network in a few lines: dense and converted, the noise, the prediction."""
    whole = document["network"]
    dense, converted = whole["dense"], whole["converted"]
    converted_layers = count_converted(document)
    noise = [again / first for again, first in zip(whole["again"], dense, strict=True)]
    ratios = gains(whole)
    lines = [
        f"- dense: {_spread(dense)}, {whole['dense_macs'] / 1e6:,.1f} M MACs",
        f"- the same network again: {min(noise):.3f} to {max(noise):.3f} of this time, by round",
    ]
    if not converted_layers:
        return [*lines, f"- no convolution is converted ({whole['tried']} networks were tried)"]
    return [
        *lines,
        f"- {converted_layers} convolutions as Ghost modules: {_spread(converted)},"
        f" {whole['converted_macs'] / 1e6:,.1f} M MACs",
        f"- **{median(dense) / median(converted):.2f} times as fast**, {min(ratios):.2f} to"
        f" {max(ratios):.2f} by round; {whole['dense_macs'] / whole['converted_macs']:.2f} times"
        " fewer MACs",
        f"- the sum of the layers had predicted {whole['predicted'] * 1e3:.2f} ms,"
        f" {median(dense) / whole['predicted']:.2f} times as fast",
    ]


def count_converted(document: Document) -> int:
    """Convolutions that became Ghost modules."""
    return sum(len(layer["names"]) for layer in document["layers"] if layer["ratio"] > 1)


def gains(whole: Document) -> list[float]:
    """How many times as fast the converted network is, by round."""
    return [a / b for a, b in zip(whole["dense"], whole["converted"], strict=True)]


def draw_savings(document: Document) -> Figure:
    """What Ghost modules save of the network's time and MACs, one row for each kind of layer.

    Bars are MACs. Marks are times, filled where the layer is converted, with the rounds' extremes.
    """
    timed = [layer for layer in document["layers"] if len(layer["seconds"]) > 1]
    dense_ms = 1e3 * median(document["network"]["dense"])
    dense_macs = document["network"]["dense_macs"]
    with matplotlib.rc_context(STYLE):
        figure = new_figure(8.5, 2.0 + 0.32 * len(timed))
        axes = figure.add_subplot()
        macs = [100 * _saved_macs(layer) / dense_macs for layer in timed]
        axes.barh(range(len(timed)), macs, color="#C3CAD1", height=0.7, label="MACs")
        for is_chosen in (True, False):
            _draw_times(axes, timed, dense_ms, is_chosen)
        axes.axvline(0, color=GREY, linewidth=1.2)
        axes.set_yticks(range(len(timed)), [_row_name(layer) for layer in timed])
        axes.invert_yaxis()
        axes.set_xlabel("saved by all layers of a kind, % of the dense network")
        legend_above(figure, axes.get_legend_handles_labels()[0])
        remark(figure, [document["setting"]])
    return figure


def _draw_times(axes: Axes, layers: list[Document], dense_ms: float, is_chosen: bool) -> None:
    rows = [row for row, layer in enumerate(layers) if (layer["ratio"] > 1) == is_chosen]
    if not rows:
        return
    middle, low, high = (
        [
            100 * len(layers[row]["names"]) * saved / dense_ms
            for row, saved in zip(rows, values, strict=True)
        ]
        for values in zip(*(_saved(layers[row], _shown(layers[row])) for row in rows), strict=True)
    )
    axes.errorbar(
        middle,
        rows,
        xerr=[
            [centre - bottom for centre, bottom in zip(middle, low, strict=True)],
            [top - centre for centre, top in zip(middle, high, strict=True)],
        ],
        fmt="o",
        color=OKABE_ITO[0],
        mfc=OKABE_ITO[0] if is_chosen else "white",
        markersize=6,
        capsize=3,
        label="time, converted" if is_chosen else "time, stays dense",
    )


def _row_name(layer: Document) -> str:
    times = f" x {len(layer['names'])}" if layer["names"][1:] else ""
    return plain(f"{layer['names'][0]}{times}, s = {_shown(layer)}")


def _shown(layer: Document) -> int:
    """The chosen ratio of a layer; of one that stays dense, the ratio that was fastest."""
    if layer["ratio"] > 1:
        return layer["ratio"]
    others = [ratio for ratio in layer["seconds"] if ratio != "1"]
    return int(min(others, key=lambda ratio: median(layer["seconds"][ratio])))


def _saved_macs(layer: Document) -> int:
    return len(layer["names"]) * (layer["macs"]["1"] - layer["macs"][str(_shown(layer))])


def _saved(layer: Document, ratio: int) -> tuple[float, float, float]:
    """Median, smallest and largest saving of the rounds, in ms."""
    pairs = zip(layer["seconds"]["1"], layer["seconds"][str(ratio)], strict=True)
    saved = [1e3 * (dense - ghost) for dense, ghost in pairs]
    return median(saved), min(saved), max(saved)


def _cells(layer: Document) -> list[str]:
    others = f" (+{len(layer['names']) - 1})" if layer["names"][1:] else ""
    seconds = {int(ratio): values for ratio, values in layer["seconds"].items()}
    dense = seconds.pop(1, None)
    ghosts = [f"s={ratio}: {_spread(values, unit='')}" for ratio, values in seconds.items()]
    saved = ""
    if layer["ratio"] > 1:
        saved = f"{len(layer['names']) * _saved(layer, layer['ratio'])[0]:.3f}"
    return [
        f"`{layer['names'][0]}`{others}",
        "x".join(map(str, layer["in_shape"])),
        f"{layer['macs']['1'] / 1e6:.2f}",
        _spread(dense, unit="") if dense else "",
        "; ".join(ghosts),
        saved,
        f"Ghost, s={layer['ratio']}" if layer["ratio"] > 1 else f"dense: {layer['note']}",
    ]


def _spread(seconds: list[float], unit: str = " ms") -> str:
    low, middle, high = (1e3 * of(seconds) for of in (min, median, max))
    return f"{middle:.3f} [{low:.3f}-{high:.3f}]{unit}"
