"""Runs -> rows of a table: the runs that differ in seed and fold alone, their mean and spread."""

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from statistics import fmean, stdev
from typing import Any

from ghostexp.results.collect import Run
from ghostexp.results.keys import is_incidental, telling_keys
from ghostexp.results.names import is_share
from ghostexp.results.repeats import FOLD, over, repetition
from ghostexp.results.text import as_number, describe, natural

MOST_KEYS = 3  # keys that get a column each; of more, as few as possible make a label
MOST_IN_LABEL = 4


@dataclass(frozen=True)
class Estimate:
    """Mean of `n` values; sample standard deviation where there are two or more.

    `over` says what the values differ in, such as `5 folds` (repeats.py).
    """

    mean: float
    std: float | None
    n: int
    over: str = ""


@dataclass(frozen=True)
class Row:
    """Runs that differ in nothing but the seed and the fold of a cross-validation."""

    values: dict[str, Any]  # of the keys that tell the rows apart
    runs: list[Run]
    name: str = ""  # the values, or as many as tell the rows apart
    is_told: bool = True  # whether the name tells the row from every other

    @property
    def label(self) -> str:
        """The name, with the folder where another row has the same; different for each row."""
        return self.name if self.is_told else f"{self.name} [{self.folder}]".strip()

    @property
    def folder(self) -> str:
        """Folder of the run, or of the first one and how many more."""
        more = f" and {len(self.runs) - 1} more" if len(self.runs) > 1 else ""
        return self.runs[0].label + more

    def known(self, fact: Callable[[Run], Any]) -> Any:
        """First value of `fact` among the runs that is there."""
        return next((value for run in self.runs if (value := fact(run)) is not None), None)

    def network(self, key: str) -> int | None:
        """`params` or `macs`: the same for every seed."""
        return self.known(lambda run: run.record["network"].get(key))

    def estimate(self, fact: Callable[[Run], float | None]) -> Estimate | None:
        """Mean and spread of `fact` over the finished runs; None if none of them has it."""
        finished = [(run, fact(run)) for run in self.runs if run.finished]
        known = [(run, float(value)) for run, value in finished if value is not None]
        if not known:
            return None
        values = [value for _, value in known]
        std = stdev(values) if len(values) > 1 else None
        return Estimate(fmean(values), std, len(values), over([run for run, _ in known]))

    def metric(self, name: str) -> Estimate | None:
        return self.estimate(lambda run: run.record["metrics"].get(name))

    def share(self, name: str) -> Estimate | None:
        """Like `metric`, times 100 where the metric is a share (`is_share`)."""
        estimate = self.metric(name)
        if estimate is None or not is_share(name):
            return estimate
        std = None if estimate.std is None else 100 * estimate.std
        return replace(estimate, mean=100 * estimate.mean, std=std)


def make_rows(runs: list[Run]) -> tuple[list[str], list[Row]]:
    """Keys that tell the rows apart, and the rows, ordered by the values of these keys."""
    keys = telling_keys(runs)
    groups: dict[str, list[Run]] = {}
    for run in runs:
        groups.setdefault(_recipe(run), []).append(run)
    parts = [part for group in groups.values() for part in _repetitions(group)]
    rows = [Row({key: part[0].value(key) for key in keys}, part) for part in parts]
    rows.sort(key=lambda row: (*map(_order, row.values.values()), natural(row.runs[0].label)))
    return keys, _named(rows, keys)


def _recipe(run: Run) -> str:
    """Name and config but seed and fold; choices and swept values where a record has no config."""
    known = run.config or run.record["choices"] | run.record["swept"]
    telling = {key: value for key, value in known.items() if not is_incidental(key)}
    return json.dumps([run.record.get("name"), telling], sort_keys=True)


def _repetitions(runs: list[Run]) -> list[list[Run]]:
    """One group, or one per run where two share seed and fold: those are the same run twice."""
    if len(set(map(repetition, runs))) < len(runs):
        return [[run] for run in runs]
    return [sorted(runs, key=lambda run: (_order(run.value(FOLD)), _order(run.value("seed"))))]


def _named(rows: list[Row], keys: list[str]) -> list[Row]:
    """The rows with their names. A row that failed leaves its name to one that did not."""
    chosen = keys if len(keys) <= MOST_KEYS else _few(rows, keys)
    names = [describe({key: row.values[key] for key in chosen}) for row in rows]
    have_failed = [all(run.status == "failed" for run in row.runs) for row in rows]
    kept = [name for name, has_failed in zip(names, have_failed, strict=True) if not has_failed]
    counts = [
        (names if has_failed else kept).count(name)
        for name, has_failed in zip(names, have_failed, strict=True)
    ]
    return [
        replace(row, name=name, is_told=bool(name) and count == 1)
        for row, name, count in zip(rows, names, counts, strict=True)
    ]


def _few(rows: list[Row], keys: list[str]) -> list[str]:
    """At most MOST_IN_LABEL keys; each of them tells the most rows apart beside the keys before."""

    def count(some: list[str]) -> int:
        return len({str([row.values[key] for key in some]) for row in rows})

    chosen: list[str] = []
    while len(chosen) < MOST_IN_LABEL:
        best = max(keys, key=lambda key: count([*chosen, key]))  # the first one of equal keys
        if count([*chosen, best]) == count(chosen):
            break
        chosen.append(best)
    return chosen


def _order(value: Any) -> tuple[int, float, Any]:
    """Numbers by value, then words, then what is unknown."""
    number = as_number(value)
    if number is not None:
        return (0, number, [])
    return (2, 0.0, []) if value is None else (1, 0.0, natural(str(value)))
