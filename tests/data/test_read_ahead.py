"""Processes that read ahead: what they draw is the training's, and they end with it."""

import os
import random
import signal
import subprocess
import sys
import time
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import psutil
import pytest
import torch
from helpers import killed_at_the_end

from ghostexp.data.in_memory import BatchLoader, EpochOrder
from ghostexp.data.read_ahead import Loading

LABELS = torch.arange(10)


class Drawing:
    """Examples with what each of the three global generators draws for them, [B, 4]."""

    random = True

    def __init__(self, num_workers: int) -> None:
        self.num_workers = num_workers

    def __len__(self) -> int:
        return len(LABELS)

    def __getitem__(self, indices: torch.Tensor) -> torch.Tensor:
        rows = [
            (int(index), random.random(), np.random.rand(), float(torch.rand(())))
            for index in indices
        ]
        return torch.tensor(rows, dtype=torch.float64)


def epoch(number: int, *, seed: int = 0, num_workers: int = 0) -> torch.Tensor:
    """Examples of an epoch, in their own order."""
    order = EpochOrder(LABELS, 4, shuffle=True, seed=seed)
    order.set_epoch(number)
    examples = torch.cat([batch for batch, _ in BatchLoader(Drawing(num_workers), LABELS, order)])
    return examples[examples[:, 0].argsort()]


def test_every_epoch_and_seed_draws_other_numbers_from_each_generator():
    drawn = torch.cat([epoch(0), epoch(1), epoch(0, seed=1)])
    for column in drawn[:, 1:].unbind(1):
        assert len(column.unique()) == 30


def test_the_draws_of_an_example_do_not_depend_on_the_number_of_processes():
    alone = epoch(2)
    for num_workers in (1, 2):
        assert torch.equal(epoch(2, num_workers=num_workers), alone)


SCRIPT = """
import os, signal, time
import torch
from torch.utils.data import TensorDataset
from ghostexp.data.read_ahead import read_ahead

class Slow(TensorDataset):
    def __getitem__(self, index):
        if index > 0:
            time.sleep(3600)
        return os.getpid()

batches = read_ahead(Slow(torch.arange(9)), list(range(9)), num_workers=2, entropy=(0, 0))
print(next(batches), flush=True)
time.sleep(3600)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="the system's death signal is Linux's")
def test_no_process_is_left_over_when_the_training_is_killed():
    command = [sys.executable, "-c", SCRIPT]
    with killed_at_the_end(subprocess.Popen(command, stdout=subprocess.PIPE, text=True)) as run:
        worker = psutil.Process(int(run.stdout.readline()))
        workers = worker.parent().children()
        for process in workers:
            process.send_signal(signal.SIGINT)  # as a terminal sends Ctrl-C to all of them
            process.send_signal(signal.SIGTERM)  # as `timeout` does
        assert len(workers) == 2
        assert {*psutil.wait_procs(workers, timeout=0.2)[1]} == {*workers}
        run.kill()
        deadline = time.monotonic() + 3  # by itself a worker looks for its parent every 5 s
        while any(is_alive(process) for process in workers):
            assert time.monotonic() < deadline


def is_alive(process: psutil.Process) -> bool:
    try:
        return process.status() != psutil.STATUS_ZOMBIE  # which nobody has asked for its exit code
    except psutil.NoSuchProcess:
        return False


def loaded(loading: Loading, *, shuffle: bool = True) -> tuple[BatchLoader, list[torch.Tensor]]:
    """A loader, and the examples of its first three epochs; of the first, one batch is taken."""
    order = EpochOrder(LABELS, 4, shuffle=shuffle)
    loader = BatchLoader(Drawing(1), LABELS, order, loading=loading)
    epochs = []
    for number in range(3):
        order.set_epoch(number)
        batches = iter(loader)
        kept = [next(batches)] if number == 0 else list(batches)
        batches.close()
        epochs.append(torch.cat([batch for batch, _ in kept]))
    return loader, epochs


def test_kept_processes_read_what_one_process_reads():
    _, alone = loaded(Loading(num_workers=0))
    loader, kept = loaded(Loading(num_workers=2, prefetch=3))
    for ours, expected in zip(kept, alone, strict=True):
        assert torch.equal(ours, expected)
    assert loader._reader.persistent_workers
    assert loader._reader.prefetch_factor == 3
    assert not loader._reader.pin_memory  # no GPU is meant


def test_processes_are_kept_for_the_training_alone():
    started = []
    for loading in (Loading(), Loading(persistent_workers=False)):
        order = EpochOrder(LABELS, 4, shuffle=True)
        loader = BatchLoader(Pids(), LABELS, order, loading=loading)
        started.append(len(torch.cat([batch for _ in range(3) for batch, _ in loader]).unique()))
    assert started == [1, 3]
    evaluated, _ = loaded(Loading(), shuffle=False)
    assert not evaluated._reader.persistent_workers


class Pids(Drawing):
    """Examples that are the number of the process that read them."""

    def __init__(self) -> None:
        super().__init__(1)

    def __getitem__(self, indices: torch.Tensor) -> torch.Tensor:
        return torch.full_like(indices, os.getpid())


def test_memory_is_pinned_for_a_gpu_alone():
    order = EpochOrder(LABELS, 4, shuffle=True)
    pinned = BatchLoader(Drawing(1), LABELS, order, to_gpu=True)
    assert pinned._reader.pin_memory
    off = BatchLoader(Drawing(1), LABELS, order, loading=Loading(pin_memory=False), to_gpu=True)
    assert not off._reader.pin_memory


def test_what_is_in_memory_needs_no_process():
    order = EpochOrder(LABELS, 4, shuffle=True)
    assert BatchLoader(Drawing(0), LABELS, order, loading=Loading(num_workers=3)).num_workers == 0
    assert BatchLoader(Drawing(2), LABELS, order, loading=Loading(num_workers=3)).num_workers == 3


def test_impossible_paces_are_named():
    with pytest.raises(ValueError, match="num_workers is a whole number of at least 0, or null"):
        Loading(num_workers=-1)
    with pytest.raises(ValueError, match="prefetch is a whole number of at least 1, not 0"):
        Loading(prefetch=0)


@pytest.mark.slow
def test_python_ends_while_processes_are_kept():
    """They ignore the SIGTERM that Python sends them at its end."""
    code = (
        "import torch; from test_read_ahead import Drawing, LABELS\n"
        "from ghostexp.data.in_memory import BatchLoader, EpochOrder\n"
        "loader = BatchLoader(Drawing(2), LABELS, EpochOrder(LABELS, 4, shuffle=True))\n"
        "kept = iter(loader); next(kept); print('read', flush=True)"
    )
    folders = [str(Path(__file__).parent), str(Path(__file__).parents[1]), *sys.path]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(folders)}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=120
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "read\n", "")


KEPT = []


def _read_and_keep(loader: BatchLoader) -> None:
    KEPT.append(iter(loader))
    next(KEPT[0])


def test_a_process_of_ours_ends_while_its_own_processes_are_kept():
    loader = BatchLoader(Drawing(2), LABELS, EpochOrder(LABELS, 4, shuffle=True))
    reader = get_context("fork").Process(target=_read_and_keep, args=(loader,))
    reader.start()
    reader.join(60)
    ended = reader.exitcode
    reader.kill()  # else this test would wait for it
    assert ended == 0
