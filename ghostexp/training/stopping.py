"""Ctrl-C and SIGTERM: a run ends after its current batch, and at the second signal at once.

An exception that a signal's handler raises in the middle of a batch leaves locks held, such as the
queue of TensorBoard's writer thread, for which Lightning then waits forever. Therefore the handler
only notes the signal while batches are run, and `StopAfterBatch` raises between two of them.
"""

import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType, TracebackType

SIGNALS = (signal.SIGINT, signal.SIGTERM)
END = b"\0"  # no signal's number
PATIENCE_SECONDS = 2.0
SAME_SECONDS = 0.5  # `timeout` and programs that pass Ctrl-C on send one signal twice in this time


class Stopped(BaseException):
    """A signal ended the run; `exit_code` is what a shell expects: 130 for Ctrl-C, 143 for SIGTERM.

    It is no KeyboardInterrupt, because Lightning turns one into `sys.exit(1)` and leaves Ctrl-C
    without effect from then on; and no Exception, because Hydra would go on with the next job.
    """

    def __init__(self, signum: int) -> None:
        super().__init__(signum)
        self.signum = signum
        self.exit_code = 128 + signum

    def __str__(self) -> str:
        return f"stopped by {signal.Signals(self.signum).name}"


class Stopping:
    """Takes over SIGINT and SIGTERM for a `with` block; the earlier handlers come back after it.

    The first signal raises `Stopped` at once, unless the block is in `deferred`; then it is noted,
    and raised by `check`, or at the latest where the block ends. The second signal calls `on_kill`
    with its number, which may write a record, and ends the process without waiting for anything.
    The same signal again within `SAME_SECONDS` of the first counts as one.
    A signal that the process was started to ignore stays ignored, as of a shell's background job.
    Outside of the main thread, where Python allows no handlers, nothing is taken over. `silent` is
    for the further processes of a run on several devices, whose first process speaks for all.

    Where the handler's exception is lost, because it was raised while a destructor ran, the signal
    stays noted for the next `check`.

    Python calls a handler only when the main thread returns from what it computes, such as a
    backward pass of a minute. A second thread therefore tells the user, and ends the process.
    """

    def __init__(self, on_kill: Callable[[int], None], *, silent: bool = False) -> None:
        self.on_kill = on_kill
        self.silent = silent
        self.signum: int | None = None  # the first signal
        self.told = threading.Lock()
        self.depth = 0  # of blocks in `deferred`
        self.pid = os.getpid()
        self.earlier: dict[int, Callable | int] = {}  # handlers
        self.outer: Stopping | None = None

    def install(self) -> None:
        """Take the signals over, also from a library that has put its handlers there."""
        for signum in self.earlier:
            signal.signal(signum, self._handle)

    def check(self) -> None:
        """Raise `Stopped` if a signal was noted."""
        if self.signum is not None:
            raise Stopped(self.signum)

    def __enter__(self) -> "Stopping":
        if threading.current_thread() is threading.main_thread():
            self._begin()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.depth += 1  # a signal that comes now is raised at the end
        if threading.current_thread() is threading.main_thread():
            self._end()
        if error is None:
            self.check()

    def _begin(self) -> None:
        global _current
        self.outer, _current = _current, self
        found = {signum: signal.getsignal(signum) or signal.SIG_DFL for signum in SIGNALS}
        self.earlier = {n: handler for n, handler in found.items() if handler != signal.SIG_IGN}
        reading, self.writing = os.pipe()
        os.set_blocking(self.writing, False)
        self.watcher = threading.Thread(target=self._watch, args=(reading,), daemon=True)
        self.watcher.start()
        self.earlier_fd = signal.set_wakeup_fd(self.writing, warn_on_full_buffer=False)
        self.earlier_hook, sys.unraisablehook = sys.unraisablehook, self._tell_unraisable
        self.install()

    def _end(self) -> None:
        global _current
        _current = self.outer
        for signum, previous in self.earlier.items():
            signal.signal(signum, previous)
        signal.set_wakeup_fd(self.earlier_fd)
        sys.unraisablehook = self.earlier_hook
        os.write(self.writing, END)
        self.watcher.join()
        os.close(self.writing)

    def _handle(self, signum: int, frame: FrameType | None) -> None:
        if os.getpid() != self.pid:  # a child that was started by fork is no run
            signal.signal(signum, self.earlier[signum])
            os.kill(os.getpid(), signum)
        elif self.signum is None:
            self.signum = signum
            if self.depth == 0:
                raise Stopped(signum)
            self._tell(signum)

    def _tell_unraisable(self, lost: "sys.UnraisableHookArgs") -> None:
        if not isinstance(lost.exc_value, Stopped):
            self.earlier_hook(lost)

    def _watch(self, reading: int) -> None:
        """Read the numbers of the signals, which Python's C code writes when they arrive."""
        first, came = 0, 0.0
        while (byte := os.read(reading, 1)) != END:
            signum = byte[0]
            if signum not in self.earlier:
                continue
            if not first:
                first, came = signum, time.monotonic()
                if self.depth > 0:
                    self._tell(signum)
            elif signum != first or time.monotonic() - came > SAME_SECONDS:
                self._kill(signum)
        os.close(reading)

    def _tell(self, signum: int) -> None:
        if self.told.acquire(blocking=False):  # by whichever thread is the first
            name = "Ctrl-C" if signum == signal.SIGINT else signal.Signals(signum).name
            self._say(f"{name}: this run ends after its current batch; once more ends it at once")

    def _kill(self, signum: int) -> None:
        self._say("ended at once")
        writer = threading.Thread(target=self.on_kill, args=(signum,), daemon=True)
        writer.start()
        writer.join(PATIENCE_SECONDS)  # it may want a lock that the main thread holds
        os._exit(128 + signum)

    def _say(self, sentence: str) -> None:
        """Write past Python's buffers, whose lock the main thread may hold."""
        if not self.silent:
            with suppress(OSError):  # nobody listens
                os.write(2, f"\n{sentence}\n".encode())


_current: Stopping | None = None  # signals belong to the process


def _forget_in_child() -> None:
    """A child that was started by fork does not write its signals to this process's thread."""
    if _current is not None:
        signal.set_wakeup_fd(-1)


os.register_at_fork(after_in_child=_forget_in_child)


def noted() -> int | None:
    """The number of the signal that was noted, if any was."""
    return None if _current is None else _current.signum


def requested() -> bool:
    """Whether a signal was noted, and the run is to end after the current batch."""
    return noted() is not None


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
