"""Jobs side by side in processes of this machine: a signal ends each after its batch.

joblib kills its processes as soon as one of them, or the launch itself, raises, and what they were
about to save is lost. submitit leaves its processes to themselves. Therefore the launch notes a
signal, passes it on and waits, and a job that was ended by a signal returns `Ended` in the place of
raising.
"""

import signal
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from types import FrameType
from typing import Any

import psutil

from ghostexp.training import stopping
from ghostexp.training.stopping import Stopped, Stopping

POLL_SECONDS = 0.1

# joblib replaces a process whose memory has grown between two jobs, which is nothing wrong
warnings.filterwarnings("ignore", "A worker stopped while some jobs were given to the executor")


@dataclass(frozen=True)
class Ended:
    """What a job returns that a signal has ended."""

    signum: int


_ended: Ended | None = None  # of this process: a job that comes later does not begin


def in_worker(do_job: Callable[[], Any]) -> Any:
    """What `do_job` returns in a process of its own, or `Ended` once a signal came to it.

    A signal that comes between two jobs of the process is noted and does not kill it: joblib would
    kill the other processes, too.
    """
    global _ended
    for signum in stopping.SIGNALS:
        signal.signal(signum, _note)
    if _ended is None:
        try:
            with Stopping(lambda signum: None, silent=True):
                return do_job()
        except Stopped as stop:
            _ended = Ended(stop.signum)
    return _ended


def _note(signum: int, frame: FrameType | None) -> None:
    global _ended
    _ended = Ended(signum)


@contextmanager
def passed_on(generations: int) -> Iterator[None]:
    """Pass Ctrl-C and SIGTERM on to the jobs below this process; `Stopped` where the block ends.

    The jobs are so many `generations` of processes below this one. A terminal sends Ctrl-C to these
    processes as well, and the two count as one.
    """
    over = threading.Event()
    passing = threading.Thread(target=_pass_on, args=(over, generations), daemon=True)
    passing.start()
    try:
        with stopping.deferred():
            yield
    finally:
        over.set()
        passing.join()


def _pass_on(over: threading.Event, generations: int) -> None:
    while not over.wait(POLL_SECONDS):
        signum = stopping.noted()
        if signum is None:
            continue
        for process in _below([psutil.Process()], generations):
            with suppress(psutil.NoSuchProcess):
                process.send_signal(signum)
        return


def _below(processes: list[psutil.Process], generations: int) -> list[psutil.Process]:
    for _ in range(generations):
        children = []
        for process in processes:
            with suppress(psutil.NoSuchProcess):
                children += process.children()
        processes = children
    return processes
