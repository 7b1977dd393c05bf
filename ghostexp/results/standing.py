"""What became of the runs, in words: finished, failed, how far they came, what is missing."""

from collections.abc import Callable, Iterable

from ghostexp.results.collect import Run, Tree
from ghostexp.results.record import STATUSES
from ghostexp.results.rows import Row
from ghostexp.results.wording import counted

IN_NO_FIGURE = {"finished": "finished, not measured"}  # status -> why it is not shown


def count_statuses(runs: Iterable[Run]) -> dict[str, int]:
    """How many runs have each status, without the statuses that none has."""
    statuses = [run.status for run in runs]
    return {status: statuses.count(status) for status in STATUSES if status in statuses}


def missing(rows: list[Row], is_shown: Callable[[Run], bool], not_started: int) -> str:
    """Sentence on the runs that a figure does not show; empty if it shows all."""
    runs = [run for row in rows for run in row.runs]
    absent = [run for run in runs if not is_shown(run)]
    counts = count_statuses(absent) | ({"not started": not_started} if not_started else {})
    if not counts:
        return ""
    parts = ", ".join(f"{count} {IN_NO_FIGURE.get(name, name)}" for name, count in counts.items())
    return f"{sum(counts.values())} of {len(runs) + not_started} runs missing here: {parts}"


def summary(tree: Tree) -> str:
    """`20 runs: 18 finished, 1 running, 1 failed; 2 jobs not started; 1 file unreadable`."""
    counts = count_statuses(tree.runs)
    text = f"{counted(len(tree.runs), 'run')}: "
    text += ", ".join(f"{count} {name}" for name, count in counts.items())
    if waiting := len(tree.not_started):
        text += f"; {counted(waiting, 'job')} not started"
    if bad := len(tree.unreadable):
        text += f"; {counted(bad, 'file')} unreadable"
    return text


def unfinished(tree: Tree, rows: list[Row]) -> list[tuple[str, str, str, str]]:
    """(run, status, how far it came, last line of the error) of all that gave no result."""
    lines = [
        (run.label, run.status, progress(run), run.last_line_of_error)
        for row in rows
        for run in row.runs
        if not run.finished
    ]
    lines += [(job, "not started", "", "") for job in tree.not_started]
    return lines


def progress(run: Run) -> str:
    """`3 of 15 epochs`, from the record or, before its end, from the logged metrics."""
    logged = [epoch for curve in run.curves.values() for epoch in curve]
    done = run.record.get("epochs") or max(logged, default=0)
    total = run.record.get("max_epochs")
    return f"{done:g} of {total:g} epochs" if total else f"{done:g} epochs"


def status(row: Row) -> str:
    """One run's status, or how many of a row's runs have which."""
    counts = count_statuses(row.runs)
    if len(row.runs) > 1:
        return ", ".join(f"{count} {name}" for name, count in counts.items())
    (run,) = row.runs
    return f"running, {progress(run)}" if run.status == "running" else run.status
