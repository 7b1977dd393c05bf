"""A folder that one process owns, by a lock of the operating system.

The system gives the lock back when the process ends, however it ends. Process numbers, host names
and clocks, which a container, a requeued job or a clock step changes, play no part. The lock is
`flock`, which local file systems and NFS (from Linux 2.6.12) know.
"""

import fcntl
import json
import os
import socket
import time
from pathlib import Path
from types import TracebackType
from typing import Any

POLL_SECONDS = 0.05  # a reader holds the lock for microseconds to see whether it is free


class Busy(Exception):
    """Another living process holds the lock; `owner` is what it wrote of itself."""

    def __init__(self, path: Path, owner: dict[str, Any]) -> None:
        super().__init__(f"{path} is locked by {describe(owner)}")
        self.owner = owner


_held: "set[Lock]" = set()


def _forget_all() -> None:
    """In a forked child: close the files, so that the child does not keep the locks alive."""
    for lock in list(_held):
        lock.release()


os.register_at_fork(after_in_child=_forget_all)


class Lock:
    """An exclusive lock on the file `path`, held by this process alone and not by its children.

    The file stays when the lock is given back, unless its holder removes it.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.descriptor: int | None = None

    def acquire(self, patience: float = 0.5) -> None:
        """Take the lock; `Busy` when another process still holds it after `patience` seconds."""
        deadline = time.monotonic() + patience
        while (descriptor := self._open_locked()) is None:
            if time.monotonic() > deadline:
                raise Busy(self.path, read_owner(self.path))
            time.sleep(POLL_SECONDS)
        self.descriptor = descriptor
        _held.add(self)
        self.write({})

    def write(self, facts: dict[str, Any]) -> None:
        """Leave `facts` about the holder in the file, beside its process and host."""
        owner = {"pid": os.getpid(), "host": socket.gethostname(), **facts}
        assert self.descriptor is not None  # only its holder writes
        os.ftruncate(self.descriptor, 0)
        os.pwrite(self.descriptor, json.dumps(owner).encode(), 0)

    def remove(self) -> None:
        """Remove the file, then give the lock back: whoever waited for the file opens a new one."""
        self.path.unlink(missing_ok=True)
        self.release()

    def release(self) -> None:
        """Give the lock back; nothing happens where it is not held."""
        if self.descriptor is not None:
            _held.discard(self)
            os.close(self.descriptor)
            self.descriptor = None

    def __enter__(self) -> "Lock":
        if self.descriptor is None:
            self.acquire()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.release()

    def _open_locked(self) -> int | None:
        """The file, locked; None where somebody holds it, or removed it in the meantime."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT, 0o644)
        if _try_lock(descriptor, fcntl.LOCK_EX) and _is_file_at(descriptor, self.path):
            return descriptor
        os.close(descriptor)
        return None


def is_locked(path: Path) -> bool:
    """Whether a living process holds the lock at `path`; no file is made or changed."""
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except (FileNotFoundError, NotADirectoryError):
        return False
    try:
        return not _try_lock(descriptor, fcntl.LOCK_SH)
    finally:
        os.close(descriptor)


def read_owner(path: Path) -> dict[str, Any]:
    """What the last owner of the lock wrote of itself; empty where nothing can be read."""
    try:
        owner = json.loads(path.read_text())
    except (OSError, ValueError):
        return {}
    return owner if isinstance(owner, dict) else {}


def describe(owner: dict[str, Any]) -> str:
    """`process 12 of host` for the owner of a lock."""
    if not owner:
        return "another process"
    return f"process {owner.get('pid')} of {owner.get('host')}"


def _try_lock(descriptor: int, kind: int) -> bool:
    try:
        fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _is_file_at(descriptor: int, path: Path) -> bool:
    """Whether an open file still has that name: a holder may have removed it."""
    try:
        return os.path.samestat(os.fstat(descriptor), os.stat(path))
    except FileNotFoundError:
        return False
