"""What a launch of a sweep settles before its first job: whose the jobs are, and what YAML says.

Hydra knows neither: it would start a sweep beside a living one in the same folder, and it reads
every YAML file again for each job.
"""

import copy
import json
from pathlib import Path

from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra._internal.config_repository import CachingConfigRepository, ConfigResult

from ghostexp.config.cli import UserError
from ghostexp.files.atomic import write_text
from ghostexp.results.record import FROZEN, is_alive, process_identity

ANY = "*"


class ReadOnce(CachingConfigRepository):
    """Hydra's YAML files as they were when they were first read."""

    def __deepcopy__(self, memo: dict) -> "ReadOnce":
        return self  # Hydra copies its repository for each composition

    def load_config(self, config_path: str) -> ConfigResult | None:
        return copy.deepcopy(super().load_config(config_path))  # Hydra writes into what it gets


def read_once(loader: ConfigLoaderImpl) -> None:
    """From here on an edit, or a file that no longer parses, reaches no job of this launch."""
    loader.repository = ReadOnce(loader.repository)


def claim(jobs: list[Path]) -> list[Path]:
    """Note beside the jobs' folders that this process does them; return the notes.

    The name * stands for any job of a folder: those of a search are not known yet. `UserError` if a
    living process does one of them already; notes that dead ones left are removed.
    """
    names: dict[Path, set[str]] = {}
    for job in jobs:
        names.setdefault(job.parent, set()).add(job.name)
    return [_claim(folder, names[folder]) for folder in names]


def _claim(folder: Path, names: set[str]) -> Path:
    launch = {**process_identity(), "jobs": sorted(names)}
    note = folder / FROZEN / f"launch-{launch['host']}-{launch['pid']}.json"
    note.parent.mkdir(parents=True, exist_ok=True)
    write_text(note, json.dumps(launch) + "\n")
    for path in set(note.parent.glob("launch-*.json")) - {note}:
        other = json.loads(path.read_text())
        if not is_alive(other):
            path.unlink()
        elif shared := _shared(names, set(other["jobs"])):
            note.unlink()
            raise UserError(
                f"{folder}: process {other['pid']} of {other['host']} is at work on {shared}"
                " already: wait for it, or name=... starts elsewhere"
                f" (if that process is gone, remove {path})"
            )
    return note


def _shared(names: set[str], others: set[str]) -> str:
    """The first job that two launches would both do; empty if none."""
    if ANY in names | others:
        return ANY
    return min(names & others, default="")
