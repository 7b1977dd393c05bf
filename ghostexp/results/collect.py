"""Runs of a folder tree, read with distrust: any of them may be unfinished, broken or half written.

collect(folder)          every run below it, what could not be read, what was never started
read_run(folder)         one run

A run is a folder with a `result.json` (record.py). Beside it may lie `latency.json`
(latency_file.py) and, anywhere below, `metrics.csv` (metrics_file.py): where one of those is
broken, the run is shown without it. Of a record only schema and status are certain: a run may fail
early.
Runs are compared by the config in their records, which is resolved in every record, and by what of
it decides the result (identity.py).
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ghostexp.results.identity import flatten, kernels, result_part
from ghostexp.results.latency_file import read_latency
from ghostexp.results.metrics_file import Curves, read_curves
from ghostexp.results.no_run import no_run
from ghostexp.results.record import FILE_NAME, FROZEN, SCHEMA, Record, read_record
from ghostexp.results.text import as_number, natural, one_line, printable

_MAPPINGS = (
    *("swept", "choices", "dataset", "network", "metrics", "selected"),
    *("versions", "git", "error", "config", "training"),
)
_NUMBERS = {  # part of a record, "" for its top level -> its numbers
    "": ("wall_s", "epochs", "max_epochs", "throughput"),
    "dataset": ("num_train",),
    "network": ("params", "macs"),
    "selected": ("epoch",),
    "training": ("images", "seconds"),
}


@dataclass(frozen=True)
class Run:
    """One run: its folder, that folder's path below the reported one, record, flattened config."""

    directory: Path
    label: str
    record: Record
    config: dict[str, Any]
    curves: Curves
    problems: list[str]  # sentences on files of the run that could not be read

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
    def images_per_s(self) -> float | None:
        """Training throughput over all launches, or the throughput of the last launch."""
        training = self.record["training"]
        if training.get("images") and training.get("seconds"):
            return training["images"] / training["seconds"]
        return self.record.get("throughput")

    def over_launches(self, tell: Callable[[dict[str, Any]], str]) -> str:
        """What `tell` says of each launch, in their order: `1 x GPU, then cpu`."""
        segments = self.record.get("segments") or []
        earlier = [each for each in segments[:-1] if isinstance(each, dict)]
        texts = dict.fromkeys(tell(part) for part in (*earlier, self.record))
        return ", then ".join(filter(None, texts))

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
    unreadable: list[str] = field(default_factory=list)  # a sentence for each file
    not_started: list[str] = field(default_factory=list)  # jobs of a sweep without a record


def collect(root: Path | str) -> Tree:
    """All runs below `root`; a ValueError if there is none that can be read."""
    root = Path(root)
    if not root.is_dir():
        raise ValueError(f"{root} is not a folder")
    runs, unreadable = [], []
    for path in sorted(root.rglob(FILE_NAME), key=lambda path: natural(str(path))):
        try:
            runs.append(read_run(path.parent, root))
        except ValueError as error:
            unreadable.append(printable(str(error)))
    if not runs:
        reasons = f": {'; '.join(unreadable)}" if unreadable else ""
        raise ValueError(f"no folder below {root} holds a readable {FILE_NAME}{reasons}")
    unreadable += [problem for run in runs for problem in run.problems]
    return Tree(root, runs, unreadable, _not_started(root))


def read_run(directory: Path, root: Path | None = None) -> Run:
    """Run in `directory`; a ValueError that names its record if that is missing or unreadable."""
    record = _read_record(directory)
    problems: list[str] = []
    record |= _unless_broken(read_latency, directory, problems)
    curves = _unless_broken(read_curves, directory, problems)
    label = str(directory.relative_to(root)) if root else str(directory)
    label = printable(directory.name if label == "." else label)
    config = flatten(_compared(record["config"])) if record["config"] else {}
    return Run(directory, label, record, config, curves, problems)


def _compared(config: dict[str, Any]) -> dict[str, Any]:
    """What of a config tells rows apart: kernels only change how numbers are rounded.

    A training goes on with other kernels, so that its record knows them as changed.
    """
    part = result_part(config)
    left_out = kernels(config)
    part["callbacks"] = {k: v for k, v in part["callbacks"].items() if k not in left_out}
    return part


def _unless_broken(
    read: Callable[[Path], dict[str, Any]], directory: Path, problems: list[str]
) -> dict[str, Any]:
    """What `read` finds in a run's folder; nothing, and a sentence more, where it is broken."""
    try:
        return read(directory)
    except ValueError as error:
        problems.append(printable(one_line(str(error))))
        return {}


def _read_record(directory: Path) -> Record:
    path = directory / FILE_NAME
    try:
        record = read_record(directory)
    except RecursionError as error:
        raise ValueError(f"{path} is not a readable record (it is nested too deep)") from error
    if record is None:
        raise ValueError(no_run(directory, Path(FILE_NAME)))
    try:
        return _checked(record)
    except ValueError as error:
        raise ValueError(f"{path} is not a readable record ({one_line(str(error))})") from error


def _checked(record: Record) -> Record:
    """`record` with an empty mapping for each missing one; a ValueError if a field cannot be it."""
    if record.get("schema") != SCHEMA:
        raise ValueError(f"its schema is {record.get('schema')}, not {SCHEMA}")
    record = printable(record) | {key: {} for key in _MAPPINGS if record.get(key) is None}
    for key in _MAPPINGS:
        if not isinstance(record[key], dict):
            raise ValueError(f"{key} is no mapping")
    if not isinstance(record["config"].get("callbacks") or {}, dict):
        raise ValueError("config.callbacks is no mapping")
    for part, keys in _NUMBERS.items():
        _check_numbers(record[part] if part else record, keys)
    _check_numbers(record["metrics"], tuple(record["metrics"]))
    for key, names in (("class_names", record["dataset"]), ("segments", record)):
        if not isinstance(names.get(key) or [], list):
            raise ValueError(f"{key} is no list but {names[key]!r}")
    for segment in record.get("segments") or []:
        facts = segment if isinstance(segment, dict) else {}
        for key in ("git", "versions"):
            if not isinstance(facts.get(key) or {}, dict):
                raise ValueError(f"{key} of a segment is no mapping but {facts[key]!r}")
    return record


def _check_numbers(part: dict[str, Any], keys: tuple[str, ...]) -> None:
    """Raise a ValueError at a field that is no number; NaN and infinity become unknown."""
    for key in keys:
        value = part.get(key)
        if not (value is None or isinstance(value, int | float)):
            raise ValueError(f"{key} is no number but {value!r}")
        if key in part:
            part[key] = value if as_number(value) is not None else None


def _not_started(root: Path) -> list[str]:
    """Jobs that a sweep below `root` has composed and that have no record yet."""
    jobs = [path.parent.parent / path.stem for path in root.rglob(f"{FROZEN}/*.yaml")]
    waiting = [str(job.relative_to(root)) for job in jobs if not (job / FILE_NAME).exists()]
    return sorted(map(printable, waiting), key=natural)
