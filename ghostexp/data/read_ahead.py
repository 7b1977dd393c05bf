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
    return iter(loader)


def _start_worker(parent: int, worker: int) -> None:
    """Leave Ctrl-C to the training, and end when it ends, by `kill -9` too."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # it ended before this
        os._exit(1)


def _unchanged(batch: T) -> T:
    """In place of the default, which makes tensors of arrays."""
    return batch
