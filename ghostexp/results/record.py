"""`result.json`: what one run is, was and gave; written atomically, also when the run fails.

A record is a plain dictionary, so that every reader, ours or not, needs `json` alone. It is strict
JSON: a number that is not finite stands there as null. Epochs count from 1. In records of schema 1
the selected epoch counted from 0; `read_record` gives them as schema 2. While a run lives, its
status is `running` and its process holds the lock of the folder; a `running` record whose lock is
free was interrupted without a chance to say so.
"""

import json
import math
import os
import platform
import shlex
import socket
import sys
import traceback
from datetime import UTC, datetime
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

from ghostexp.files.atomic import write_text
from ghostexp.files.lock import is_locked
from ghostexp.results.provenance import code_state

SCHEMA = 2
FILE_NAME = "result.json"
LOCK = ".lock"  # beside it: held by the process that runs the run
FROZEN = ".sweep"  # a sweep's folder of composed configs, one file per job
STATUSES = ("finished", "running", "interrupted", "failed")
PACKAGES = ("torch", "torchvision", "pytorch-lightning", "torchmetrics", "hydra-core")

KINDS = {  # of the fields that a launch takes over from the launches before it
    (dict, "mapping"): ("best", "choices", "config", "metrics", "swept", "training"),
    (list, "list"): ("segments",),
    (int | float, "number"): ("epochs", "throughput", "wall_s"),
    (str, "text"): ("command", "started"),
}
ALWAYS = ("config", "metrics")  # what no record has as null
OF_A_LAUNCH = ("device", "precision", "python", "versions", "git")  # the last launch's

Record = dict[str, Any]


def new_record(**facts: Any) -> Record:
    """Record of a run that starts now in this process; `facts` are the fields known already."""
    return {
        "schema": SCHEMA,
        "status": "running",
        "command": command_line(),
        "pid": os.getpid(),
        "host": socket.gethostname(),
        **({"slurm_job": slurm_job()} if slurm_job() else {}),
        "started": now(),
        "ended": None,
        "wall_s": 0.0,
        "metrics": {},
        "error": None,
        "python": platform.python_version(),
        "versions": {name: version(name) for name in PACKAGES},
        "git": our_code(),
        **facts,
    }


def past_segments(earlier: Record) -> list[dict[str, Any]]:
    """Segments of the launches that `earlier` tells of, an empty list for an empty record.

    A record says of its last launch where and by which code it ran. Its last segment keeps that
    when another launch goes on.
    """
    if not earlier:
        return []
    *before, last = earlier.get("segments") or [_one_segment(earlier)]
    facts = {key: earlier[key] for key in OF_A_LAUNCH if key in earlier}
    return [*before, facts | last]


def _one_segment(earlier: Record) -> dict[str, Any]:
    """The only launch of a record that was written before launches were kept apart."""
    return {
        "started": earlier.get("started"),
        "command": earlier.get("command"),
        "epochs": [1, earlier.get("epochs")],
        "changed": [],
        "wall_s": earlier.get("wall_s") or 0.0,
    }


def slurm_job() -> str | None:
    """`NUMBER.RESTARTS` of the Slurm job that this process belongs to; None outside of Slurm."""
    number = os.environ.get("SLURM_JOB_ID")
    return number and f"{number}.{os.environ.get('SLURM_RESTART_COUNT', 0)}"


@cache
def our_code() -> dict[str, Any]:
    """State of the code that this process runs."""
    return code_state(Path(__file__).resolve().parents[1])


def write_record(directory: Path, record: Record) -> None:
    """Write `result.json` so that a reader, or a crash, never sees half of it."""
    text = json.dumps(finite(record), indent=2, allow_nan=False)
    write_text(directory / FILE_NAME, text + "\n")


def read_record(directory: Path) -> Record | None:
    """Record of the run in `directory`; None where there is none.

    A `running` record whose process has ended reads as `interrupted`. ValueError with one sentence
    where the file is no record.
    """
    path = directory / FILE_NAME
    try:
        record = json.loads(path.read_text())
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise ValueError(f"{path} is not a readable record ({error})") from error
    if not isinstance(record, dict) or record.get("status") not in STATUSES:
        raise ValueError(f"{path} is not a readable record (it has no status of a run)")
    _upgrade(record)
    if record["status"] == "running" and not is_locked(directory / LOCK):
        record["status"] = "interrupted"
    return record


def _upgrade(record: Record) -> None:
    """Make a record of schema 1 one of schema 2, in place; anything else stays as it is."""
    if record.get("schema") != 1:
        return
    record["schema"] = SCHEMA
    selected = record.get("selected")
    if isinstance(selected, dict) and isinstance(selected.get("epoch"), int):
        selected["epoch"] += 1


def read_sound_record(directory: Path) -> Record | None:
    """`read_record` for a launch that goes on from the record: ValueError if a field is damaged."""
    record = read_record(directory)
    if record is not None and (problem := _problem(record)):
        raise ValueError(f"{directory / FILE_NAME} is not a readable record ({problem})")
    return record


def _problem(record: Record) -> str | None:
    """Which field is not of its kind; None where all are."""
    for (kind, word), keys in KINDS.items():
        for key in keys:
            may_be_null = key not in ALWAYS or key not in record
            if not isinstance(record.get(key), kind | None if may_be_null else kind):
                return f"{key} is no {word} but {record[key]!r}"
    for segment in record.get("segments") or []:
        if not isinstance(segment, dict) or not isinstance(segment.get("wall_s", 0), int | float):
            return f"a segment is {segment!r}"
    return None


def command_line() -> str:
    """The command that started this process, quoted so that a shell can repeat it."""
    return f"{program()} {shlex.join(sys.argv[1:])}".rstrip()


def program() -> str:
    """How a user calls what trains: `python train.py`, or `ghostexp COMMAND` without that file."""
    if Path(sys.argv[0]).parts[-2:] == ("commands", "train.py"):
        return "ghostexp train"
    if sys.argv[0].startswith("ghostexp "):  # as python -m ghostexp says it
        return sys.argv[0]
    return shlex.join([Path(sys.executable).name, sys.argv[0]])


def describe_error(error: BaseException) -> dict[str, str]:
    """`error` field of a failed run."""
    return {
        "type": type(error).__name__,
        "message": str(error),
        "traceback": "".join(traceback.format_exception(error)),
    }


def now() -> str:
    """Time in UTC, ISO 8601, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def finite(value: Any) -> Any:
    """`value` with None for every number in it that JSON does not know: NaN and the infinities."""
    if isinstance(value, dict):
        return {key: finite(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [finite(each) for each in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
