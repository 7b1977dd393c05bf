"""What `ghostexp benchmark infer` measured of a run, written into its folder and read again.

`latency.json` in a run's folder is what a report shows beside MACs: `latency_ms` is one image on
one thread, in the fastest form that computes in float32; `latency_of` says which form and where.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ghostexp.files.atomic import write_text
from ghostexp.results.record import now
from ghostexp.results.text import as_number, printable

FILE_NAME = "latency.json"
SCHEMA = 1
NEEDED = (
    f"{FILE_NAME} needs a time of one image on one thread in float32: measure with --batch 1"
    " --threads 1, or with 1 among others"
)

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


def write_measured(everything: Measured, folder: Path, name: str, markdown: str) -> list[Path]:
    """A `document` as `name`.json, which keeps every round, and its tables as `name`.md."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"{name}.json", folder / f"{name}.md"]
    write_text(paths[0], json.dumps(everything, indent=2) + "\n")
    write_text(paths[1], markdown)
    return paths


def check_measured(batch_sizes: Sequence[int], threads: Sequence[int]) -> None:
    """ValueError if these measurements would not give the latency that a run's folder keeps."""
    if 1 not in batch_sizes or 1 not in threads:
        raise ValueError(NEEDED)


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
        raise ValueError(NEEDED)
    best = min(own, key=lambda row: row["ms"])
    latency = {
        "latency_ms": best["ms"],
        "latency_of": f"one image, one thread, {best['form']}, {everything['circumstances']}",
    }
    path = directory / FILE_NAME
    write_text(path, json.dumps(latency | everything, indent=2) + "\n")
    return path


def read_latency(directory: Path) -> Measured:
    """`latency_ms` and `latency_of` of a run, nothing where nobody measured; ValueError if bad."""
    path = directory / FILE_NAME
    if not path.is_file():
        return {}
    try:
        read = json.loads(path.read_text(encoding="utf-8"))
        latency = {"latency_ms": float(read["latency_ms"]), "latency_of": str(read["latency_of"])}
    except (OSError, KeyError, TypeError, ValueError, RecursionError) as error:
        raise ValueError(f"{path} holds no latency ({error!r})") from error
    if as_number(latency["latency_ms"]) is None:
        raise ValueError(f"{path} holds no latency (latency_ms is {latency['latency_ms']})")
    return printable(latency)
