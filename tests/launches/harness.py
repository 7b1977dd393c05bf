"""Launches of train.py and the scripts from a warm process, and what may not happen in any of them.

A launch costs a second instead of twelve, so that hundreds of them run in minutes on one core.
"""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
LIMIT_SECONDS = 60
STREAMS = ("stdout", "stderr")


@dataclass(frozen=True)
class Ended:
    """How a launch ended; `left` are processes that it left behind."""

    code: int
    hung: bool
    left: list[str]
    stdout: str
    stderr: str
    seconds: float


class Warm:
    """The warm process, as its client sees it."""

    def __init__(self) -> None:
        environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
        self.process = subprocess.Popen(
            [sys.executable, str(Path(__file__).with_name("warm.py"))],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=environment,
            text=True,
        )
        self._answer()

    def begin(
        self,
        script: str,
        arguments: list[str],
        folder: Path,
        *,
        streams: Path,
        environment: dict[str, str] | None = None,
        stdout: str = "file",
        stderr: str = "file",
        limit: float = LIMIT_SECONDS,
        file_bytes: int | None = None,
        stack: bool = False,
    ) -> int:
        """Start a launch in `folder`; returns its process. `end` waits for it.

        `stdout` and `stderr` are `file` (in the folder `streams`), `head`, `closed` or a path. No
        file that the launch writes may be larger than `file_bytes`. With `stack` the file of that
        name in `streams` says which functions the launch is in.
        """
        self.streams = streams
        self.began = time.monotonic()
        streams.mkdir(parents=True, exist_ok=True)
        places = {
            name: _place(target, streams / name)
            for name, target in zip(STREAMS, (stdout, stderr), strict=True)
        }
        request = {
            "script": str(ROOT / script),
            "arguments": arguments,
            "folder": str(folder),
            "environment": _environment(streams) | (environment or {}),
            "limit": limit,
            "file_bytes": file_bytes,
            "stack": str(streams / "stack") if stack else None,
            **places,
        }
        self.process.stdin.write(json.dumps(request) + "\n")
        self.process.stdin.flush()
        return self._answer()["pid"]

    def end(self) -> Ended:
        """Wait for the launch that began last."""
        answer = self._answer()
        texts = {name: _read(self.streams / name) for name in STREAMS}
        return Ended(**answer, **texts, seconds=time.monotonic() - self.began)

    def launch(self, *arguments: Any, **options: Any) -> Ended:
        """`begin` and `end`."""
        self.begin(*arguments, **options)
        return self.end()

    def close(self) -> None:
        """End the warm process."""
        self.process.stdin.close()
        self.process.wait()
        self.process.stdout.close()

    def _answer(self) -> dict[str, Any]:
        line = self.process.stdout.readline()
        assert line, "the warm process has ended"
        return json.loads(line)


@contextmanager
def warm_process() -> Iterator[Warm]:
    """A warm process for the length of the block."""
    warm = Warm()
    try:
        yield warm
    finally:
        warm.close()


def _environment(streams: Path) -> dict[str, str]:
    """Of a launch: little, with a folder of its own for temporary files."""
    temporary = streams / "tmp"
    temporary.mkdir(exist_ok=True)
    kept = ("PATH", "HOME", "LANG", "LD_LIBRARY_PATH")
    return {
        **{name: os.environ[name] for name in kept if name in os.environ},
        "PYTHONPATH": str(ROOT),
        "OMP_NUM_THREADS": "1",
        "TMPDIR": str(temporary),
        "COLUMNS": "100",
    }


def _place(target: str, file: Path) -> str:
    return {"file": str(file), "head": f"head {file}"}.get(target, target)


def _read(path: Path) -> str:
    return path.read_text(errors="replace") if path.exists() else ""
