"""The table of `ghostexp benchmark engines`: networks of one task, with one column per engine."""

from pathlib import Path
from typing import Any

from ghostexp.results.latency_file import Measured, write_measured
from ghostexp.results.text import quoted, table_row
from ghostexp.results.wording import counted

HEADERS = {
    "eager": "torch eager",
    "fused": "torch, norms folded",
    "onnxruntime": "ONNX Runtime",
    "openvino": "OpenVINO",
    "native": "native (ours)",
}


def write_engines(document: Measured, folder: Path) -> list[Path]:
    """engines.json with the seconds of each round, and engines.md."""
    return write_measured(document, folder, "engines", to_markdown(document))


def to_markdown(document: Measured) -> str:
    """A table per group: medians, the rounds' extremes, and times as fast as the reference."""
    lines = [
        f"{document['circumstances']}; fastest to slowest in brackets; {document['measured']}",
        "",
        f"    {quoted(document['command'])}",
    ]
    for group in dict.fromkeys(row["group"] for row in document["rows"]):
        lines += ["", *_table([row for row in document["rows"] if row["group"] == group])]
    return "\n".join(lines) + "\n"


def _table(rows: list[Measured]) -> list[str]:
    """One group: a row per network, its costs, and its time in each form."""
    forms = list(dict.fromkeys(row["form"] for row in rows))
    networks = list(dict.fromkeys(row["network"] for row in rows))
    first = rows[0]
    threads = counted(first["threads"], "thread")
    title = f"{first['group']}, batch {first['batch_size']}, {threads}"
    names = ["network", "params, M", "MACs, M", *(HEADERS.get(form, form) for form in forms)]
    lines = [
        f"**{title}**; ms, and times as fast as {first['reference']}",
        "",
        _line(names),
        _line(["---", *["---:"] * (len(names) - 1)]),
    ]
    by_place = {(row["network"], row["form"]): row for row in rows}
    for network in networks:
        own = [by_place[network, form] for form in forms]
        macs = f"{own[0]['macs'] / 1e6:.1f} (1/{own[0]['macs_ratio']:.2f})"
        costs = [network, f"{own[0]['params'] / 1e6:.2f}", macs]
        lines.append(_line([*costs, *(_cell(row) for row in own)]))
    return [*lines, "", *(_order(form, rows) for form in forms), *_notes(rows)]


def _cell(row: Measured) -> str:
    if row["ms"] is None:
        return "no time"
    time = f"{row['ms']:.2f} [{row['fastest_ms']:.2f}-{row['slowest_ms']:.2f}]"
    if row["network"] == row["reference"] or row["speed_ratio"] is None:
        return time
    return f"{time} **{row['speed_ratio']:.2f}**"


def _order(form: str, rows: list[Measured]) -> str:
    """The networks by their time, so that a smaller dense network that is faster is seen."""
    timed = [row for row in rows if row["form"] == form and row["ms"] is not None]
    timed.sort(key=lambda row: row["ms"])
    order = ", ".join(f"{row['network']} {row['ms']:.2f}" for row in timed)
    return f"- {HEADERS.get(form, form)}, fastest first: {order or 'no network'}"


def _notes(rows: list[Measured]) -> list[str]:
    """Why a network has no time in a form, each reason once."""
    missing: dict[str, list[str]] = {}
    for row in rows:
        if row["ms"] is None:
            note = f"{HEADERS.get(row['form'], row['form'])}: {row['note']}"
            missing.setdefault(note, []).append(row["network"])
    return [f"- no time for {', '.join(names)}: {note}" for note, names in missing.items()]


def _line(cells: list[Any]) -> str:
    return table_row(str(cell).replace("|", "\\|") for cell in cells)
