"""Standard output and error that never end a program: closed, full, or of an ASCII terminal.

steady_output()    for a training: what cannot be written is dropped
readable_output()  for a script, whose output is its product: the writing may fail, see cli.script
"""

import contextlib
import os
import sys
from collections.abc import Iterator
from typing import Any, TextIO


class SteadyStream:
    """A text stream that drops what it cannot write, and everything after that."""

    def __init__(self, stream: TextIO) -> None:
        self.stream = stream

    def write(self, text: str) -> int:
        try:
            self.stream.write(text)
        except (OSError, ValueError):  # ValueError: closed
            drop(self.stream)
        return len(text)

    def writelines(self, lines: list[str]) -> None:
        for line in lines:
            self.write(line)

    def flush(self) -> None:
        settle(self.stream)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stream, name)


def drop(stream: TextIO) -> None:
    """Lead a stream's descriptor nowhere, so that also Python's last flush finds a place."""
    with contextlib.suppress(OSError, ValueError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())
        os.close(nowhere)


def settle(stream: TextIO) -> None:
    """Write what a stream holds back, or drop it where that fails."""
    try:
        stream.flush()
    except (OSError, ValueError):
        drop(stream)


@contextlib.contextmanager
def readable_output() -> Iterator[None]:
    """Write what the terminal's encoding lacks as escapes; a closed stream leads nowhere."""
    before = sys.stdout, sys.stderr
    readable = [_readable(stream) for stream in before]
    sys.stdout, sys.stderr = readable
    try:
        yield
    finally:
        sys.stdout, sys.stderr = before
        for stream, earlier in zip(readable, before, strict=True):
            if earlier is None:
                stream.close()


@contextlib.contextmanager
def steady_output() -> Iterator[None]:
    """`readable_output`, and nothing that is written fails."""
    with readable_output():
        sys.stdout, sys.stderr = SteadyStream(sys.stdout), SteadyStream(sys.stderr)
        try:
            yield
        finally:
            sys.stdout.flush()
            sys.stderr.flush()


def _readable(stream: TextIO | None) -> TextIO:
    if stream is None:  # closed before the start
        return open(os.devnull, "w", encoding="utf-8")
    with contextlib.suppress(AttributeError, ValueError):  # no stream of a file
        stream.reconfigure(errors="backslashreplace")
    return stream
