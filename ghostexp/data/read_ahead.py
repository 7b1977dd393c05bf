"""Reading ahead of a training, in processes that follow from it and end with it."""

import ctypes
import os
import signal
import sys
from collections.abc import Iterable, Iterator
from functools import partial
from typing import TypeVar

from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from ghostexp.data.draws import epoch_generator

T = TypeVar("T")

PR_SET_PDEATHSIG = 1  # of prctl(2)
# a terminal sends Ctrl-C, and `timeout` sends SIGTERM, to all processes of a run at once
OF_THE_TRAINING = (signal.SIGINT, signal.SIGTERM)


def read_ahead(
    batches: Dataset[T], order: Iterable[Tensor], *, num_workers: int, entropy: tuple[int, int]
) -> Iterator[T]:
    """`batches[indices]` for the index tensors of `order`, made in processes, or here for 0.

    The processes' own generators follow from `entropy`, (seed, epoch).
    """
    if num_workers == 0:
        return map(batches.__getitem__, order)
    loader = DataLoader(
        batches,
        batch_size=None,  # the items of `order` are whole batches
        sampler=order,
        collate_fn=_unchanged,
        num_workers=num_workers,
        worker_init_fn=partial(_start_worker, os.getpid()),
        generator=epoch_generator(*entropy),  # leaves the global one alone
    )
    earlier = signal.pthread_sigmask(signal.SIG_BLOCK, OF_THE_TRAINING)
    try:  # a process inherits what is blocked, so no signal meets it before it can ignore one
        return iter(loader)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, earlier)


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
