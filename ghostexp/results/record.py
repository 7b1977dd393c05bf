"""`result.json`: what one run is, was and gave; written atomically, also when the run fails.

A record is a plain dictionary (schema 1, DESIGN.md "Run-directory contract"), so that every reader,
ours or not, needs `json` alone. While a run lives its status is `running`, beside the process that
runs it; a `running` record whose process is gone was interrupted without a chance to say so.
"""

import json
import os
import platform
import socket
import subprocess
import sys
import traceback
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import psutil

from ghostexp.files.atomic import write_text

SCHEMA = 1
FILE_NAME = "result.json"
FROZEN = ".sweep"  # a sweep's folder of composed configs, one file per job
PACKAGES = ("torch", "torchvision", "pytorch-lightning", "torchmetrics", "hydra-core")

Record = dict[str, Any]


def new_record(**facts: Any) -> Record:
    """Record of a run that starts now in this process; `facts` are the fields known already."""
    return {
        "schema": SCHEMA,
        "status": "running",
        "command": " ".join([Path(sys.executable).name, *sys.argv]),
        **process_identity(),
        "started": now(),
        "ended": None,
        "wall_s": 0.0,
        "metrics": {},
        "error": None,
        "python": platform.python_version(),
        "versions": {name: version(name) for name in PACKAGES},
        "git": git_state(Path(__file__).resolve().parent),
        **facts,
    }


def write_record(directory: Path, record: Record) -> None:
    """Write `result.json` so that a reader, or a crash, never sees half of it."""
    write_text(directory / FILE_NAME, json.dumps(record, indent=2) + "\n")


def read_record(directory: Path) -> Record | None:
    """Record of the run in `directory`, with a dead `running` turned into `interrupted`."""
    path = directory / FILE_NAME
    if not path.exists():
        return None
    try:
        record = json.loads(path.read_text())
    except ValueError as error:
        raise ValueError(f"{path} is not a readable record ({error})") from error
    if record["status"] == "running" and not is_alive(record):
        record["status"] = "interrupted"
    return record


def process_identity() -> dict[str, Any]:
    """What tells this process from every other, for `is_alive`."""
    pid = os.getpid()
    host = socket.gethostname()
    return {"pid": pid, "host": host, "process_started": _process_started(pid)}


def is_alive(record: Record) -> bool:
    """Whether the process that wrote a `running` record still runs; of another host: assume yes."""
    if record.get("host") != socket.gethostname():
        return True
    pid = record.get("pid")
    return pid is not None and _process_started(pid) == record["process_started"]


def describe_error(error: BaseException) -> dict[str, str]:
    """`error` field of a failed run."""
    return {
        "type": type(error).__name__,
        "message": str(error),
        "traceback": "".join(traceback.format_exception(error)),
    }


def git_state(folder: Path) -> dict[str, Any] | None:
    """Revision and dirty flag of the checkout that holds `folder`, None outside of one."""
    try:
        revision = _git(folder, "rev-parse", "HEAD")
        dirty = bool(_git(folder, "status", "--porcelain", "--untracked-files=no"))
    except (OSError, subprocess.CalledProcessError):  # no git, or no checkout
        return None
    return {"revision": revision, "dirty": dirty}


def now() -> str:
    """Time in UTC, ISO 8601, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def _git(folder: Path, *arguments: str) -> str:
    done = subprocess.run(
        ["git", "-C", str(folder), *arguments], capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


def _process_started(pid: int) -> float | None:
    """Start time of a process, which tells it from a later one of the same number; None if gone."""
    try:
        return psutil.Process(pid).create_time()
    except psutil.NoSuchProcess:
        return None
