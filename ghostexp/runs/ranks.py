"""The processes of one run on several devices (trainer=ddp).

Rank 0 is the process that the user started: it alone decides, writes and reports. Lightning starts
the others when the fit begins, by repeating the command line with the run's folder added. They find
everything else there: the config, and in the running record what rank 0 goes on from. Slurm starts
all processes of a job at once; there the others wait for the record of rank 0.
"""

import json
import logging
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytorch_lightning as pl
import torch.distributed as dist
from pytorch_lightning.utilities import rank_zero_only

from ghostexp.config.build import Parts, build_parts
from ghostexp.config.explain import UserError
from ghostexp.config.saved import read_saved
from ghostexp.files.atomic import write_text
from ghostexp.results import record as records

Train = Callable[[Parts, records.Record, Path | None], None]
POLL_SECONDS = 0.5
FAILURE = ".rank-failure.json"  # what a further process leaves for rank 0, which owns the record


def is_further() -> bool:
    """Whether this process is one that the run's first process started, by its environment."""
    return rank_zero_only.rank > 0


def wait_for_first(directory: Path, is_done: Callable[[], bool]) -> bool:
    """In Slurm: wait until rank 0 trains; False if it skips the run, because the run `is_done`.

    Where rank 0 ends before it trains, Slurm ends this process.
    """
    while records.slurm_job() and _record_of_first(directory) is None:
        if is_done():
            return False
        time.sleep(POLL_SECONDS)
    return True


def join(directory: Path, train: Train) -> None:
    """Train beside rank 0, which runs `directory`; if it goes wrong here first, leave a note.

    Rank 0 then meets a broken connection, or is killed with the others: neither says why.
    """
    record = _record_of_first(directory)
    if record is None:
        raise UserError(
            f"rank {rank_zero_only.rank} was not started by the process that runs {directory}:"
            " trainer=ddp starts its own processes, without torchrun, and in Slurm"
            " hydra.launcher.tasks_per_node says how many Slurm starts"
        )
    logging.disable(logging.WARNING)  # rank 0 says it
    checkpoint = record["checkpoint"] and directory / record["checkpoint"]
    try:
        train(build_parts(read_saved(directory)), record, checkpoint)
    except BaseException as error:
        _leave_note(directory, error)
        if _is_noticed():
            sys.exit(0)
        raise


@contextmanager
def ending_together(trainer: pl.Trainer, directory: Path) -> Iterator[None]:
    """If rank 0 fails, end its run's other processes, and name the process that failed first."""
    note = directory / FAILURE
    note.unlink(missing_ok=True)
    try:
        yield
    except BaseException:
        if trainer.strategy.launcher is not None:
            trainer.strategy.launcher.kill(signal.SIGKILL)  # they may wait for this process forever
        if not note.exists():
            raise
        failure = json.loads(note.read_text())
        if failure["interrupted"]:
            raise KeyboardInterrupt from None
        raise ChildProcessError(f"{failure['traceback']}{failure['message']}") from None
    finally:
        note.unlink(missing_ok=True)


def _is_noticed() -> bool:
    """Whether rank 0 meets a broken connection when this process ends, whatever the exit code.

    Of another exit code than 0 Lightning hears within 5 s, and it kills rank 0, which may not have
    read the note by then. NCCL may not break: there Lightning's kill ends a rank 0 that waits.
    """
    connected = dist.is_available() and dist.is_initialized() and dist.get_backend() == "gloo"
    return connected and records.slurm_job() is None


def _leave_note(directory: Path, error: BaseException) -> None:
    """For rank 0, unless it is gone or another rank was first."""
    note = directory / FAILURE
    if _record_of_first(directory) is None or note.exists():
        return
    told = records.describe_error(error)
    told["message"] = f"rank {rank_zero_only.rank}: {told['message']}"
    write_text(note, json.dumps({**told, "interrupted": not isinstance(error, Exception)}))


def _record_of_first(directory: Path) -> records.Record | None:
    """Record of `directory` if rank 0 runs it: our parent, or a task of our Slurm job."""
    record = records.read_record(directory)
    if record is None or record["status"] != "running":
        return None
    same_job = records.slurm_job() is not None and record.get("slurm_job") == records.slurm_job()
    return record if same_job or record["pid"] == os.getppid() else None
