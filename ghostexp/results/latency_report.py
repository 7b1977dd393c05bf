"""Table and figure of what `ghostexp benchmark infer` measured, and the files of both."""

from pathlib import Path

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ghostexp.results.latency_file import Measured, write_measured
from ghostexp.results.style import (
    GREY,
    MARKERS,
    OKABE_ITO,
    STYLE,
    legend_above,
    new_figure,
    plain,
    render,
)
from ghostexp.results.text import quoted, table_row
from ghostexp.results.wording import counted

COLUMNS = {  # header -> whether it is of numbers
    "form": False,
    "network": False,
    "ms": True,
    "images/s": True,
    "beside": False,
    "its ms": True,
    "times as fast": True,
    "times fewer MACs": True,
}


def write_measurements(everything: Measured, folder: Path) -> list[Path]:
    """A `document` as inference.json and .md, and its figure if networks are compared in it."""
    paths = write_measured(everything, folder, "inference", to_markdown(everything))
    figure = draw_ratios(everything["rows"])
    if figure is not None:
        paths.append(folder / "inference.png")
        paths[-1].write_bytes(render(figure, "png"))
    return paths


def to_markdown(everything: Measured) -> str:
    """A table per setting: each network beside its reference, medians with the rounds' extremes."""
    lines = [
        f"{everything['circumstances']}; fastest to slowest in brackets; {everything['measured']}",
        "",
        f"    {quoted(everything['command'])}",
    ]
    for setting, members in _by_setting(everything["rows"]).items():
        lines += ["", f"**{setting}**", "", table_row(COLUMNS)]
        lines.append(table_row("---:" if is_number else "---" for is_number in COLUMNS.values()))
        known = {(row["network"], row["form"]): row for row in members}
        references = {row["reference"] for row in members if row["network"] != row["reference"]}
        for row in members:
            if row["network"] not in references:  # else it is shown beside the others
                lines.append(table_row(_cells(row, known[row["reference"], row["form"]])))
    return "\n".join(lines) + "\n"


def draw_ratios(rows: list[Measured]) -> Figure | None:
    """Speed ratio of each form beside the MACs ratio, one panel per setting; None without one."""
    compared = [row for row in rows if row["network"] != row["reference"] and row["speed_ratio"]]
    if not compared:
        return None
    settings = _by_setting(compared)
    networks = list(dict.fromkeys(row["network"] for row in compared))
    forms = list(dict.fromkeys(row["form"] for row in compared))
    with matplotlib.rc_context(STYLE):
        figure = new_figure(3.6 + 3.0 * len(settings), 2.4 + 0.36 * len(forms))
        panels = figure.subplots(1, len(settings), sharey=True, sharex=True, squeeze=False)[0]
        for axes, (setting, members) in zip(panels, settings.items(), strict=True):
            axes.set_title(setting, fontsize=11)
            for index, network in enumerate(networks):
                own = [row for row in members if row["network"] == network]
                _draw_network(axes, own, forms, index, len(networks))
            axes.axvline(1, color=GREY, linewidth=1.2)
        right = max(max(row["high"], row["macs_ratio"]) for row in compared)
        panels[0].set_xlim(0, 1.05 * right)
        panels[0].set_yticks(range(len(forms)), forms)
        panels[0].invert_yaxis()
        figure.supxlabel("times as fast as the reference network", fontsize=11)
        labels = {}  # of all panels: a network may be missing in the first
        for axes in panels:
            handles, texts = axes.get_legend_handles_labels()
            labels |= dict(zip(texts, handles, strict=True))
        legend_above(figure, list(labels.values()))
    return figure


def _draw_network(
    axes: Axes, rows: list[Measured], forms: list[str], index: int, count: int
) -> None:
    """Ratio of each form with the rounds' extremes; dashed where the MACs ratio lies."""
    if not rows:
        return
    color = OKABE_ITO[index % len(OKABE_ITO)]
    offset = 0.22 * (index - (count - 1) / 2)
    ratios = [row["speed_ratio"] for row in rows]
    name = plain(rows[0]["network"])
    label = f"{name} / {plain(rows[0]['reference'])}"
    axes.errorbar(
        ratios,
        [forms.index(row["form"]) + offset for row in rows],
        xerr=[
            [row["speed_ratio"] - min(row["low"], row["speed_ratio"]) for row in rows],
            [max(row["high"], row["speed_ratio"]) - row["speed_ratio"] for row in rows],
        ],
        fmt=MARKERS[index % len(MARKERS)],
        color=color,
        markersize=6,
        capsize=3,
        label=label,
    )
    macs = rows[0]["macs_ratio"]
    label = f"MACs ratio of {name}, {macs:.2f}"
    axes.axvline(macs, color=color, linestyle="--", linewidth=1.4, label=label)


def _by_setting(rows: list[Measured]) -> dict[str, list[Measured]]:
    settings: dict[str, list[Measured]] = {}
    for row in rows:
        threads = counted(row["threads"], "thread")
        settings.setdefault(f"batch {row['batch_size']}, {threads}", []).append(row)
    return settings


def _cells(row: Measured, reference: Measured) -> list[str]:
    throughput = "" if row["ms"] is None else f"{row['images_per_s']:,.0f}"
    cells = [row["form"], row["network"], _time(row), throughput]
    if reference is row:
        return [*cells, "", "", "", ""]
    cells += [row["reference"], _time(reference)]
    if row["speed_ratio"] is None:
        return [*cells, "", f"{row['macs_ratio']:.2f}"]
    ratio = f"{row['speed_ratio']:.2f} [{row['low']:.2f}-{row['high']:.2f}]"
    return [*cells, ratio, f"{row['macs_ratio']:.2f}"]


def _time(row: Measured) -> str:
    if row["ms"] is None:
        return row["note"].replace("|", "\\|")
    return f"{row['ms']:.2f} [{row['fastest_ms']:.2f}-{row['slowest_ms']:.2f}]"
