"""Reading ahead of a training, in processes that follow from it and end with it."""

import ctypes
import os
import signal
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache, partial
from multiprocessing import active_children
from multiprocessing.process import BaseProcess
from multiprocessing.util import Finalize
from typing import Any, TypeVar
from weakref import WeakSet

from torch.utils.data import DataLoader, Dataset

from ghostexp.data.draws import epoch_generator

T = TypeVar("T")

_started: "WeakSet[BaseProcess]" = WeakSet()

PR_SET_PDEATHSIG = 1  # of prctl(2)
# a terminal sends Ctrl-C, and `timeout` sends SIGTERM, to all processes of a run at once
OF_THE_TRAINING = (signal.SIGINT, signal.SIGTERM)


@dataclass(frozen=True)
class Loading:
    """How fast files are read ahead of a training; never what is read, nor in which order.

    `num_workers` processes on this machine, None for one per core; what is held in memory needs no
    process. `pin_memory` lets batches that go to a GPU lie in memory from which they are copied
    beside the computation. `persistent_workers` keeps the processes of the training from one epoch
    to the next. `prefetch` is the number of batches that each process keeps ready.
    """

    num_workers: int | None = None
    pin_memory: bool = True
    persistent_workers: bool = True
    prefetch: int = 2

    def __post_init__(self) -> None:
        workers = self.num_workers
        if workers is not None and (not isinstance(workers, int) or workers < 0):
            raise ValueError(f"num_workers is a whole number of at least 0, or null, not {workers}")
        if not isinstance(self.prefetch, int) or self.prefetch < 1:
            raise ValueError(f"prefetch is a whole number of at least 1, not {self.prefetch}")


def read_ahead(
    batches: Dataset[T], order: Iterable[Any], *, num_workers: int, entropy: tuple[int, int]
) -> Iterator[T]:
    """`batches[item]` for the items of `order`, made in processes, or here for 0.

    The processes' own generators follow from `entropy`, (seed, epoch).
    """
    if num_workers == 0:
        return map(batches.__getitem__, order)
    return start(make_loader(batches, order, num_workers=num_workers, entropy=entropy))


def make_loader(
    batches: Dataset[T],
    order: Iterable[Any],
    *,
    num_workers: int,
    entropy: tuple[int, int],
    pin_memory: bool = False,
    persistent_workers: bool = False,
    prefetch: int = 2,
) -> DataLoader:
    """A loader of `batches[item]` for the items of `order`, each a whole batch."""
    return DataLoader(
        batches,
        batch_size=None,
        sampler=order,
        collate_fn=_unchanged,
        num_workers=num_workers,
        pin_memory=pin_memory,
        persistent_workers=persistent_workers,
        prefetch_factor=prefetch,
        worker_init_fn=partial(_start_worker, os.getpid()),
        generator=epoch_generator(*entropy),  # leaves the global one alone
    )


def start(loader: DataLoader) -> Iterator[Any]:
    """A pass of a loader, whose processes neither Ctrl-C nor SIGTERM reaches."""
    earlier = signal.pthread_sigmask(signal.SIG_BLOCK, OF_THE_TRAINING)
    others = {*active_children()}
    try:  # a process inherits what is blocked, so no signal meets it before it can ignore one
        return iter(loader)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, earlier)
        _started.update({*active_children()} - others)
        _end_readers_with(os.getpid())


@cache
def _end_readers_with(process: int) -> None:
    """Once in each process: unlike atexit, this holds for a child of multiprocessing as well."""
    Finalize(None, _end_readers, exitpriority=100)


def _end_readers() -> None:
    """Python's end sends SIGTERM to what still reads, which ignores it, and would wait for ever."""
    left = [process for process in active_children() if process in _started]
    if left:
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)  # torch's handler complains of each
        for process in left:
            process.kill()


def _start_worker(parent: int, worker: int) -> None:
    """Leave Ctrl-C and SIGTERM to the training, and end when it ends, by `kill -9` too."""
    for signum in OF_THE_TRAINING:
        signal.signal(signum, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, OF_THE_TRAINING)
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # it ended before this
        os._exit(1)


def _unchanged(batch: T) -> T:
    """In place of the default, which makes tensors of arrays."""
    return batch
