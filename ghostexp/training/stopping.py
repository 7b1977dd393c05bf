"""Ctrl-C and SIGTERM: a run ends after its current batch, and at the second signal at once.

An exception that a signal's handler raises in the middle of a batch leaves locks held, such as the
queue of TensorBoard's writer thread, for which Lightning then waits forever. Therefore the handler
only notes the signal while batches are run, and `StopAfterBatch` raises between two of them.
"""

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType, TracebackType

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Stopped(BaseException):
    """A signal ended the run; `exit_code` is what a shell expects: 130 for Ctrl-C, 143 for SIGTERM.

    It is no KeyboardInterrupt, because Lightning turns one into `sys.exit(1)` and leaves Ctrl-C
    without effect from then on; and no Exception, because Hydra would go on with the next job.
    """

    def __init__(self, signum: int) -> None:
        super().__init__(f"stopped by {signal.Signals(signum).name}")
        self.signum = signum
        self.exit_code = 128 + signum


class Stopping:
    """Takes over SIGINT and SIGTERM for a `with` block; the earlier handlers come back after it.

    The first signal raises `Stopped` at once, unless the block is in `deferred`; then it is noted,
    and raised by `check`, or at the latest where the block ends. The second signal calls `on_kill`
    with its number, which may write a record, and ends the process without waiting for anything.
    A signal that the process was started to ignore stays ignored, as of a shell's background job.
    Outside of the main thread, where Python allows no handlers, nothing is taken over. `silent` is
    for the further processes of a run on several devices, whose first process speaks for all.
    """

    def __init__(self, on_kill: Callable[[int], None], *, silent: bool = False) -> None:
        self.on_kill = on_kill
        self.silent = silent
        self.signum: int | None = None  # the first signal
        self.depth = 0  # of blocks in `deferred`
        self.pid = os.getpid()
        self.earlier: dict[int, Callable | int] = {}
        self.outer: Stopping | None = None

    def install(self) -> None:
        """Take the signals over, also from a library that has put its own handlers there."""
        for signum in self.earlier:
            signal.signal(signum, self._handle)

    def check(self) -> None:
        """Raise `Stopped` if a signal was noted."""
        if self.signum is not None:
            raise Stopped(self.signum)

    def __enter__(self) -> "Stopping":
        global _current
        self.outer, _current = _current, self
        if threading.current_thread() is threading.main_thread():
            found = {signum: signal.getsignal(signum) or signal.SIG_DFL for signum in SIGNALS}
            self.earlier = {n: handler for n, handler in found.items() if handler != signal.SIG_IGN}
        self.install()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        global _current
        for signum, previous in self.earlier.items():
            signal.signal(signum, previous)
        _current = self.outer
        if error is None:
            self.check()

    def _handle(self, signum: int, frame: FrameType | None) -> None:
        if os.getpid() != self.pid:  # a child that was started by fork is no run
            signal.signal(signum, self.earlier[signum])
            os.kill(os.getpid(), signum)
        elif self.signum is not None:
            self._say("ended at once")
            try:
                self.on_kill(signum)
            finally:
                os._exit(128 + signum)
        else:
            self.signum = signum
            if self.depth == 0:
                raise Stopped(signum)
            name = "Ctrl-C" if signum == signal.SIGINT else signal.Signals(signum).name
            self._say(f"{name}: this run ends after its current batch; once more ends it at once")

    def _say(self, sentence: str) -> None:
        """Write past Python's buffers, which the signal may have caught half written."""
        if not self.silent:
            with suppress(OSError):  # nobody listens
                os.write(2, f"\n{sentence}\n".encode())


_current: Stopping | None = None  # signals belong to the process


def requested() -> bool:
    """Whether a signal was noted, and the run is to end after the current batch."""
    return _current is not None and _current.signum is not None


def check() -> None:
    """Raise `Stopped` if a signal was noted."""
    if _current is not None:
        _current.check()


def take_over() -> None:
    """Put our handlers back where a library has replaced them."""
    if _current is not None:
        _current.install()


def defer() -> None:
    """From here on the first signal is noted only, until `undefer`."""
    if _current is not None:
        _current.depth += 1


def undefer() -> None:
    """End what the last `defer` began."""
    if _current is not None:
        _current.depth -= 1


@contextmanager
def deferred() -> Iterator[None]:
    """In this block the first signal is noted only; `Stopped` is raised where the block ends."""
    defer()
    try:
        yield
    finally:
        undefer()
    check()
