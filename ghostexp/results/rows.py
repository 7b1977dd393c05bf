"""Runs -> rows of a table: what was swept, which runs differ only in the seed, mean and spread."""

import json
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from statistics import fmean, stdev
from typing import Any

from ghostexp.results.collect import STATUSES, Run, as_number, natural
from ghostexp.results.identity import NOT_THE_RESULT


@dataclass(frozen=True)
class Estimate:
    """Mean of `n` values; sample standard deviation where there are two or more."""

    mean: float
    std: float | None
    n: int


@dataclass(frozen=True)
class Row:
    """Runs that differ in nothing but the seed."""

    swept: dict[str, Any]
    runs: list[Run]

    @property
    def name(self) -> str:
        """`vgg16, ratio=2`: the swept values, words without their key; empty if none is known."""
        return describe(self.swept)

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
        values = [float(v) for run in self.runs if run.finished and (v := fact(run)) is not None]
        if not values:
            return None
        return Estimate(fmean(values), stdev(values) if len(values) > 1 else None, len(values))

    def metric(self, name: str) -> Estimate | None:
        return self.estimate(lambda run: run.record["metrics"].get(name))

    def share(self, name: str) -> Estimate | None:
        """Like `metric`, times 100 where the metric is a share (`is_share`)."""
        estimate = self.metric(name)
        if estimate is None or not is_share(name):
            return estimate
        std = None if estimate.std is None else 100 * estimate.std
        return Estimate(100 * estimate.mean, std, estimate.n)


def make_rows(runs: list[Run]) -> tuple[list[str], list[Row]]:
    """Keys that tell the rows apart, and the rows, ordered by the values of these keys."""
    differing = differing_keys(runs)
    keys = swept_keys(runs) or differing
    if len({run.record.get("name") for run in runs}) > 1:
        keys = ["name", *keys]
    telling = list(dict.fromkeys([*keys, "name", *differing]))
    groups: dict[str, list[Run]] = {}
    for run in runs:
        values = json.dumps([run.value(key) for key in telling])
        groups.setdefault(values, []).append(run)
    parts = [part for group in groups.values() for part in _by_seed(group)]
    rows = [Row({key: part[0].value(key) for key in keys}, part) for part in parts]
    rows.sort(key=lambda row: (*map(_order, row.swept.values()), natural(row.runs[0].label)))
    return keys, rows


def labels(rows: list[Row]) -> list[str]:
    """A name for each row, by its folder where the swept values do not tell it from another."""
    names = [row.name for row in rows]
    return [
        name if name and names.count(name) == 1 else f"{name} [{row.folder}]".strip()
        for name, row in zip(names, rows, strict=True)
    ]


def swept_keys(runs: Iterable[Run]) -> list[str]:
    """Keys that the records call swept, seed left out, in the order of their first appearance."""
    keys = dict.fromkeys(key for run in runs for key in run.record["swept"])
    return [key for key in keys if not _is_incidental(key)]


def differing_keys(runs: Iterable[Run]) -> list[str]:
    """Groups whose choice differs, then keys that differ between runs of the same choices."""
    known = [run for run in runs if run.config or run.record["choices"]]
    groups = _differing([run.record["choices"] for run in known])
    groups = [group for group in groups if group != "experiment"]  # a name for the differences
    alike: dict[str, list[dict[str, Any]]] = {}
    for run in known:
        if run.config:
            chosen = str([run.record["choices"].get(group) for group in groups])
            alike.setdefault(chosen, []).append(run.config)
    keys = dict.fromkeys(key for configs in alike.values() for key in _differing(configs))
    return groups + [key for key in keys if not _is_incidental(key)]


def primary_metric(runs: Iterable[Run]) -> str:
    """`test/acc` if any run has it, else `test/map`, else the first test metric there is."""
    names = {name for run in runs for name in run.record["metrics"] if name.startswith("test/")}
    preferred = [name for name in ("test/acc", "test/map") if name in names]
    return (preferred or sorted(names) or ["test/acc"])[0]


def is_share(metric: str) -> bool:
    """Whether a metric is a share from 0 to 1, which a table gives in percent."""
    return metric.rpartition("/")[2].startswith(("acc", "map"))


def axis_name(metric: str) -> str:
    """`test/acc` -> `test accuracy, %`."""
    words = {"acc": "accuracy", "map": "mAP", "train": "training", "val": "validation"}
    name = " ".join(words.get(word, word) for word in re.split("[/_]", metric))
    return f"{name}, %" if is_share(metric) else name


def count_statuses(runs: Iterable[Run]) -> dict[str, int]:
    """How many runs have each status, without the statuses that none has."""
    statuses = [run.status for run in runs]
    return {status: statuses.count(status) for status in STATUSES if status in statuses}


def describe(values: dict[str, Any]) -> str:
    """`vgg16, ratio=2` for the values that are known; a word says by itself what it is."""
    known = {key: value for key, value in values.items() if value is not None}
    return ", ".join(
        show(value)
        if as_number(value) is None and not isinstance(value, bool)
        else f"{short(key)}={show(value)}"
        for key, value in known.items()
    )


def short(key: str) -> str:
    """Last part of a dotted key."""
    return key.rpartition(".")[2]


def show(value: Any) -> str:
    """A config value in a cell; blank when unknown."""
    if isinstance(value, float):
        return f"{value:g}"
    return "" if value is None else str(value)


def _by_seed(runs: list[Run]) -> list[list[Run]]:
    """One group, or one a run if two of them share a seed: those are repetitions, not seeds."""
    seeds = [run.value("seed") for run in runs]
    if len({str(seed) for seed in seeds}) < len(seeds):
        return [[run] for run in runs]
    return [sorted(runs, key=lambda run: _order(run.value("seed")))]


def _differing(mappings: list[dict[str, Any]]) -> list[str]:
    """Keys, in order, that do not have one value in all mappings."""
    keys = dict.fromkeys(key for mapping in mappings for key in mapping)
    return [key for key in keys if len({str(mapping.get(key)) for mapping in mappings}) > 1]


def _is_incidental(key: str) -> bool:
    """Seeds (rows are over seeds) and what does not change the result."""
    return key in NOT_THE_RESULT or short(key) == "seed"


def _order(value: Any) -> tuple[int, float, Any]:
    """Numbers by value, then words, then what is unknown."""
    number = as_number(value)
    if number is not None:
        return (0, number, [])
    return (2, 0.0, []) if value is None else (1, 0.0, natural(str(value)))
