"""Two runs side by side: what differs in config, versions, git and network; all their metrics."""

from functools import partial
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from ghostexp.results.collect import Run
from ghostexp.results.identity import flatten
from ghostexp.results.record import OF_A_LAUNCH
from ghostexp.results.terminal import unreadable
from ghostexp.results.text import as_number, cut_apart, printable, quoted, show

LONGEST_NAME = 40  # characters of a run's name above its column
LONGEST_NUMBER = 9  # characters of a metric


def diff_runs(left: Run, right: Run) -> RenderableType:
    """Tables for rich."""
    parts: list[RenderableType] = [
        _table("config", left, right, differing(left.config, right.config)),
        _metrics(left, right),
    ]
    for title in ("choices", "versions", "git", "network", "selected", "dataset"):
        tell = _over_launches if title in OF_A_LAUNCH else _facts
        pairs = differing(tell(left, title), tell(right, title))
        if pairs:
            parts.append(_table(title, left, right, pairs))
    circumstances = differing(_circumstances(left), _circumstances(right))
    if circumstances:
        parts.append(_table("circumstances", left, right, circumstances))
    return Group(*parts, *unreadable([*left.problems, *right.problems]))


def differing(left: dict[str, Any], right: dict[str, Any]) -> dict[str, tuple[Any, Any]]:
    """Key -> the two values, for the keys whose values differ or that one side lacks."""
    return {
        key: (left.get(key), right.get(key))
        for key in sorted(left.keys() | right.keys())
        if key not in left or key not in right or left[key] != right[key]
    }


def _metrics(left: Run, right: Run) -> Table:
    table = _new_table("metrics", left, right)
    for column in table.columns[1:]:
        column.justify, column.min_width = "right", LONGEST_NUMBER
    table.add_column("difference", justify="right", no_wrap=True, min_width=LONGEST_NUMBER)
    ours, theirs = left.record["metrics"], right.record["metrics"]
    for name in sorted(ours.keys() | theirs.keys()):
        first, second = as_number(ours.get(name)), as_number(theirs.get(name))
        change = "" if first is None or second is None else f"{second - first:+.4f}"
        table.add_row(*map(Text, (name, _number(first), _number(second), change)))
    return table


def _table(title: str, left: Run, right: Run, pairs: dict[str, tuple[Any, Any]]) -> Table:
    table = _new_table(title if pairs else f"{title}: no difference", left, right)
    for key, values in pairs.items():
        table.add_row(*map(Text, (key, *map(show, values))))
    return table


def _new_table(title: str, left: Run, right: Run) -> Table:
    table = Table(title=Text(title), title_justify="left", min_width=60)
    table.add_column("key", no_wrap=True)
    is_enough = left.directory.name != right.directory.name
    names = [run.directory.name if is_enough else str(run.directory) for run in (left, right)]
    for name in cut_apart(list(map(printable, names)), LONGEST_NAME):
        table.add_column(Text(name), overflow="fold")
    return table


def _facts(run: Run, title: str) -> dict[str, Any]:
    """Values of a part of the record, by their dotted keys."""
    return flatten(run.record[title])


def _over_launches(run: Run, title: str) -> dict[str, str]:
    """Values of a part that each launch records anew: `2.11.0, then 2.15.0`."""

    def tell(launch: dict[str, Any], key: str) -> str:
        return show((launch.get(title) or {}).get(key))

    return {key: run.over_launches(partial(tell, key=key)) for key in run.record[title]}


def _circumstances(run: Run) -> dict[str, Any]:
    keys = ("status", "seed", "epochs", "max_epochs", "wall_s")
    facts = {key: run.record.get(key) for key in keys}
    command = run.record.get("command")
    return facts | {
        "device": run.over_launches(lambda launch: show(launch.get("device"))),
        "precision": run.over_launches(lambda launch: show(launch.get("precision"))),
        "command": quoted(command) if command else None,
        "throughput": run.images_per_s,
        "segments": len(run.record.get("segments") or []) or None,
    }


def _number(value: float | None) -> str:
    if value is None:
        return ""
    return f"{value:.1e}" if 0 < abs(value) < 1e-3 else f"{value:.4f}"
