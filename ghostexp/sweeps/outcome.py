"""What a sweep ends with: the table of its runs, why jobs failed, and the next commands."""

import shlex
from pathlib import Path

from rich.console import Console

from ghostexp.results.record import Record, read_record
from ghostexp.sweeps.job import Job


def objective(record: Record) -> float | None:
    """What a search compares runs by: validation, at the epoch chosen there; never the test."""
    best = record.get("best") or {}
    metrics = record["metrics"]
    return next(iter(best.values()), metrics.get("val/acc", metrics.get("val/map")))


def show_outcome(folder: Path, jobs: list[Job]) -> None:
    """Print the table of the runs below `folder`, and what to do next."""
    from ghostexp.results.report import report_on
    from ghostexp.results.terminal import to_terminal

    console = Console(stderr=True, force_jupyter=False)
    try:
        report = report_on(folder)
    except ValueError:  # no job has left a record
        return
    console.print(to_terminal(report, console.width), crop=False)
    for sentence in causes(jobs):
        # a path that is longer than a line stays whole, so that a person can copy it
        console.print(sentence, style="bold red", markup=False, overflow="ignore", crop=False)
    shown = shlex.quote(str(folder))
    console.print(f"next: ghostexp report {shown}", markup=False, soft_wrap=True)
    if is_in_tensorboard(folder):
        console.print(f"      tensorboard --logdir {shown}", markup=False, soft_wrap=True)


def is_in_tensorboard(folder: Path) -> bool:
    """Whether TensorBoard has something to show of what lies below `folder`."""
    return any(folder.rglob("events.out.tfevents.*"))


def causes(jobs: list[Job]) -> list[str]:
    """Why jobs failed, one sentence per cause: `seed=0, seed=1 and 8 more: ...`."""
    failed: dict[str, list[str]] = {}
    for job in jobs:
        record = _record(job)
        if record.get("status") == "failed":
            message = " ".join(str((record.get("error") or {}).get("message")).split())
            failed.setdefault(message, []).append(job.name)
    return [f"{some(names)}: {message}" for message, names in failed.items()]


def some(names: list[str]) -> str:
    """The first two names and the number of the others."""
    if len(names) <= 3:
        return ", ".join(names)
    return f"{', '.join(names[:2])} and {len(names) - 2} more"


def _record(job: Job) -> dict:
    try:
        return read_record(job.directory) or {}
    except ValueError:
        return {}
