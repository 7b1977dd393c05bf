"""Whose the jobs of a folder are: two living launches never do the same job.

A launch leaves a note beside the jobs and holds the note's lock. The note of a launch that has
ended, however it ended, is locked by nobody.
"""

import uuid
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from ghostexp.config.explain import UserError
from ghostexp.files.folders import remove_if_empty
from ghostexp.files.lock import Lock, describe, is_locked, read_owner
from ghostexp.results.record import FROZEN

ANY = "*"  # every job of a folder: the jobs of a search are not known yet
NOTE = "launch-{}.json"
DOOR = ".claims"  # locked while one launch looks at the notes of the others and adds its note


@contextmanager
def claimed(jobs: list[Path]) -> Iterator[None]:
    """Hold the jobs with these folders for this launch; `UserError` if a living one holds any."""
    with ExitStack() as stack:
        for folder, names in _by_folder(jobs).items():
            stack.enter_context(_noted(folder, {"jobs": names}))
        yield


def why_refused(jobs: list[Path]) -> list[str]:
    """Why a launch of the jobs with these folders would be refused now; nothing is held."""
    return [
        sentence
        for folder, names in _by_folder(jobs).items()
        for sentence in _refusals(folder, {"jobs": names})
    ]


@contextmanager
def searching(folder: Path, study: str) -> Iterator[str]:
    """Take part in the search of a folder, beside other launches of it; yields our note's name."""
    with _noted(folder, {"jobs": [ANY], "study": study}) as note:
        yield note.path.name


def is_at_work(folder: Path, note: str) -> bool:
    """Whether the launch that left the note of this name in the folder still lives."""
    return is_locked(folder / FROZEN / note)


def _by_folder(jobs: list[Path]) -> dict[Path, list[str]]:
    """The names of the jobs of each folder."""
    names: dict[Path, set[str]] = {}
    for job in jobs:
        names.setdefault(job.parent, set()).add(job.name)
    return {folder: sorted(names[folder]) for folder in sorted(names)}


@contextmanager
def _noted(folder: Path, facts: dict[str, Any]) -> Iterator[Lock]:
    """Leave a note that says what this launch does in the folder, while it does it."""
    notes = folder / FROZEN
    note = Lock(notes / NOTE.format(uuid.uuid4().hex[:12]))
    door = Lock(notes / DOOR)
    try:
        with door:
            _check(folder, facts)
            note.acquire()
            note.write(facts)
        yield note
    finally:
        note.remove()
        with door:
            door.remove()
        remove_if_empty(notes)  # unless frozen configs lie there


def _check(folder: Path, facts: dict[str, Any]) -> None:
    """Refuse what a living launch does; remove what dead ones left."""
    for path in (folder / FROZEN).glob(NOTE.format("*")):
        if not is_locked(path):
            path.unlink(missing_ok=True)
    for sentence in _refusals(folder, facts):
        raise UserError(sentence)


def _refusals(folder: Path, facts: dict[str, Any]) -> Iterator[str]:
    """A sentence for each living launch that is at work on any of these jobs."""
    for path in sorted((folder / FROZEN).glob(NOTE.format("*"))):
        if not is_locked(path):
            continue
        owner = read_owner(path)
        if "study" in facts and owner.get("study") == facts["study"]:
            continue  # the study shares the trials out
        if shared := _shared(set(facts["jobs"]), set(owner.get("jobs", [ANY]))):
            yield (
                f"{folder}: {describe(owner)} is at work on {shared} already: wait for it or end"
                " it, or name=... starts elsewhere"
            )


def _shared(names: set[str], others: set[str]) -> str:
    """The first job that two launches would both do; empty if there is none."""
    if ANY in names | others:
        return "all jobs of the folder"
    return min(names & others, default="")
