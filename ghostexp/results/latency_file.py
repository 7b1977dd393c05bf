"""What `scripts/benchmark.py infer` measured, as files: all of it, and a run's own latency.

`latency.json` in a run's folder is what a report shows beside MACs: `latency_ms` is one image on
one thread, in the fastest form that computes in float32; `latency_of` says which form and where.
"""

import json
from pathlib import Path
from typing import Any

from ghostexp.files.atomic import write_text
from ghostexp.results.record import now

FILE_NAME = "latency.json"
SCHEMA = 1

Measured = dict[str, Any]  # the fields of deploy.latency.Measurement


def document(rows: list[Measured], circumstances: str, command: str) -> Measured:
    """All measurements as plain data, with when, how and on what."""
    return {
        "schema": SCHEMA,
        "measured": now(),
        "command": command,
        "circumstances": circumstances,
        "rows": rows,
    }


def write_latency(directory: Path, network: str, everything: Measured) -> Path:
    """A `document` into a run's folder with its `network`'s latency; ValueError without one."""
    own = [
        row
        for row in everything["rows"]
        if row["network"] == network
        and (row["batch_size"], row["threads"]) == (1, 1)
        and row["lossless"]
        and row["ms"] is not None
    ]
    if not own:
        raise ValueError(
            f"{FILE_NAME} needs a time of one image on one thread in float32: measure with"
            " --batch 1 --threads 1"
        )
    best = min(own, key=lambda row: row["ms"])
    latency = {
        "latency_ms": best["ms"],
        "latency_of": f"one image, one thread, {best['form']}, {everything['circumstances']}",
    }
    path = directory / FILE_NAME
    write_text(path, json.dumps(latency | everything, indent=2) + "\n")
    return path


def write_measurements(everything: Measured, folder: Path) -> list[Path]:
    """A `document` as inference.json and .md, and its figure if networks are compared in it."""
    from ghostexp.results.latency_report import draw_ratios, to_markdown  # matplotlib
    from ghostexp.results.style import render

    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / "inference.json", folder / "inference.md"]
    write_text(paths[0], json.dumps(everything, indent=2) + "\n")
    write_text(paths[1], to_markdown(everything))
    figure = draw_ratios(everything["rows"])
    if figure is not None:
        paths.append(folder / "inference.png")
        paths[-1].write_bytes(render(figure, "png"))
    return paths


def read_latency(directory: Path) -> Measured:
    """`latency_ms` and `latency_of` of a run, nothing where nobody measured; ValueError if bad."""
    path = directory / FILE_NAME
    if not path.is_file():
        return {}
    try:
        read = json.loads(path.read_text())
        return {"latency_ms": float(read["latency_ms"]), "latency_of": str(read["latency_of"])}
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{path} holds no latency ({error!r})") from error
