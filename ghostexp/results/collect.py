"""Runs of a folder tree, read with distrust: any of them may be unfinished, broken or half written.

collect(folder)          every run below it, what could not be read, what was never started
read_run(folder)         one run
read_curves(folder)      its learning curves, metric -> epoch -> value

A run is a folder with a `result.json` (record.py); beside it lie `.hydra/config.yaml`, perhaps
`latency.json` (latency_file.py) and, anywhere below, `metrics.csv`.
Of a record only schema and status are certain: a run may fail early.
"""

import csv
import json
import re
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from ghostexp.files.lock import is_locked
from ghostexp.results.identity import flatten
from ghostexp.results.latency_file import read_latency
from ghostexp.results.record import FILE_NAME, FROZEN, LOCK, SCHEMA, STATUSES, Record

_MAPPINGS = (
    *("swept", "choices", "dataset", "network", "metrics", "selected"),
    *("versions", "git", "error", "config"),
)
_NUMBERS = ("wall_s", "epochs", "max_epochs", "throughput", "latency_ms")


@dataclass(frozen=True)
class Run:
    """One run: its folder, that folder's path below the reported one, record, flattened config."""

    directory: Path
    label: str
    record: Record
    config: dict[str, Any]

    @property
    def status(self) -> str:
        return self.record["status"]

    @property
    def finished(self) -> bool:
        return self.status == "finished"

    def value(self, key: str) -> Any:
        """Value of a swept key, of a group's choice, or of a key of the config; None if unknown."""
        if key == "name":
            return self.record.get("name")
        for source in (self.record["swept"], self.record["choices"], self.config):
            if key in source:
                return source[key]
        return self.record.get("seed") if key == "seed" else None

    @property
    def last_line_of_error(self) -> str:
        """`Type: last line of the message`, empty where nothing is known."""
        error = self.record["error"]
        lines = str(error.get("message") or error.get("traceback") or "").strip().splitlines()
        last = lines[-1].strip() if lines else ""
        return ": ".join(part for part in (str(error.get("type") or ""), last) if part)


@dataclass(frozen=True)
class Tree:
    """What lies below a folder."""

    root: Path
    runs: list[Run]
    unreadable: list[str] = field(default_factory=list)  # path and reason
    not_started: list[str] = field(default_factory=list)  # jobs of a sweep without a record


def collect(root: Path) -> Tree:
    """All runs below `root`; a ValueError if there is none that can be read."""
    if not root.is_dir():
        raise ValueError(f"{root} is not a folder")
    runs, unreadable = [], []
    for path in sorted(root.rglob(FILE_NAME), key=lambda path: natural(str(path))):
        try:
            runs.append(read_run(path.parent, root))
        except ValueError as error:
            unreadable.append(str(error))
    if not runs:
        reasons = f": {'; '.join(unreadable)}" if unreadable else ""
        raise ValueError(f"{root} holds no readable {FILE_NAME}, in no folder of it{reasons}")
    return Tree(root, runs, unreadable, _not_started(root))


def read_run(directory: Path, root: Path | None = None) -> Run:
    """Run in `directory`; a ValueError that names the file if it is missing or unreadable."""
    path = directory / FILE_NAME
    if not path.is_file():
        raise ValueError(f"{directory} is no run: {path} is missing")
    try:
        record = _checked(json.loads(path.read_text()))
        # The saved file first: an interpolated value is a swept one only where it is written.
        config = _read_config(directory / ".hydra" / "config.yaml") or record["config"]
        record |= read_latency(directory)
    except (OSError, ValueError) as error:
        raise ValueError(f"{path} cannot be read ({' '.join(str(error).split())})") from error
    if record["status"] == "running" and not is_locked(directory / LOCK):
        record["status"] = "interrupted"
    label = str(directory.relative_to(root)) if root else str(directory)
    return Run(directory, directory.name if label == "." else label, record, _portable(config))


def read_curves(directory: Path) -> dict[str, dict[int, float]]:
    """Last value of every metric in every epoch, from each `metrics.csv` below `directory`."""
    curves: dict[str, dict[int, float]] = defaultdict(dict)
    for path in sorted(directory.rglob("metrics.csv"), key=lambda path: natural(str(path))):
        with path.open(newline="") as file:
            for row in csv.DictReader(file):
                epoch = as_number(row.get("epoch"))
                for name, text in row.items():
                    value = as_number(text)
                    if name and epoch is not None and value is not None:
                        curves[name.removesuffix("_epoch")][int(epoch)] = value
    return dict(curves)


def as_number(value: Any) -> float | None:
    """`value` as a float, None if it is none: an empty cell, a word, a boolean."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        return float(value)
    except ValueError:
        return None


def natural(text: str) -> list[tuple[int, float, str]]:
    """Sort key that orders the numbers in a text by value: ratio=2 before ratio=10."""
    parts = re.split(r"(\d+(?:\.\d+)?)", text)
    return [(0, float(part), "") if i % 2 else (1, 0.0, part) for i, part in enumerate(parts)]


def _checked(record: Any) -> Record:
    """`record` with an empty mapping for each missing one; a ValueError if a field cannot be it."""
    if not isinstance(record, dict):
        raise ValueError("it is no JSON object")
    if record.get("schema") != SCHEMA:
        raise ValueError(f"its schema is {record.get('schema')}, not {SCHEMA}")
    if record.get("status") not in STATUSES:
        raise ValueError(f"its status is {record.get('status')!r}, none of {', '.join(STATUSES)}")
    record = record | {key: {} for key in _MAPPINGS if record.get(key) is None}
    for key in _MAPPINGS:
        if not isinstance(record[key], dict):
            raise ValueError(f"{key} is no mapping")
    numbers = {key: record.get(key) for key in _NUMBERS} | record["metrics"]
    numbers |= {key: record["network"].get(key) for key in ("params", "macs")}
    for key, value in numbers.items():
        if not (value is None or isinstance(value, int | float)):
            raise ValueError(f"{key} is no number but {value!r}")
    names = record["dataset"].get("class_names")
    if not (names is None or isinstance(names, list)):
        raise ValueError(f"class_names is no list but {names!r}")
    return record


def _read_config(path: Path) -> dict[str, Any]:
    if not path.is_file():
        return {}
    try:
        config = OmegaConf.to_container(OmegaConf.load(path), resolve=False)
    except (YAMLError, OmegaConfBaseException) as error:
        raise ValueError(f"{path}: {error}") from error
    if not isinstance(config, dict):
        raise ValueError(f"{path} holds no mapping")
    return config


def _portable(config: dict[str, Any]) -> dict[str, Any]:
    """Dotted keys, with the run's own folder, which differs between any two runs, taken out."""
    folder = config.get("run_dir")
    flat = flatten({key: value for key, value in config.items() if key != "run_dir"})
    if not isinstance(folder, str) or not folder:
        return flat
    return {
        key: value.replace(folder, "RUN_DIR") if isinstance(value, str) else value
        for key, value in flat.items()
    }


def _not_started(root: Path) -> list[str]:
    """Jobs that a sweep below `root` has composed and that have no record yet."""
    jobs = [path.parent.parent / path.stem for path in root.rglob(f"{FROZEN}/*.yaml")]
    waiting = [str(job.relative_to(root)) for job in jobs if not (job / FILE_NAME).exists()]
    return sorted(waiting, key=natural)
