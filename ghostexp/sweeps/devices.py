"""GPUs of this machine, shared out among jobs that are at work at once.

A job holds a lock per GPU. Locks of the operating system come back however the job ends, and they
count for every launch of this machine's users who share the folder for temporary files.
"""

import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from omegaconf import DictConfig

from ghostexp.config.explain import UserError
from ghostexp.files.lock import Busy, Lock

VISIBLE = "CUDA_VISIBLE_DEVICES"
POLL_SECONDS = 1.0


def gpus_of_this_machine(trainer: DictConfig) -> list[str]:
    """GPUs to share out; none where there is one at most, or where the config names its devices."""
    if trainer.get("accelerator") not in ("auto", "gpu", "cuda"):
        return []
    if not (isinstance(trainer.devices, int) or trainer.devices in ("auto", "-1")):
        return []
    from torch import cuda  # loads when the first job starts

    count = cuda.device_count()
    named = [name for name in os.environ.get(VISIBLE, "").split(",") if name]
    gpus = named[:count] or [str(number) for number in range(count)]
    return gpus if len(gpus) > 1 else []


@contextmanager
def own_gpus(gpus: list[str], devices: int | str) -> Iterator[dict[str, str]]:
    """Environment of a job that sees as many of `gpus` as it needs, and no other job sees them.

    Waits until so many are free. `UserError` for more than there are.
    """
    needed = len(gpus) if devices in (-1, "-1", "auto") else int(devices)
    if needed > len(gpus):
        raise UserError(f"trainer.devices={needed} is more than the {len(gpus)} GPUs")
    while True:
        with ExitStack() as held:
            mine = _free(gpus, needed, held)
            if len(mine) == needed:
                yield {VISIBLE: ",".join(mine)}
                return
        time.sleep(POLL_SECONDS)


def _free(gpus: list[str], needed: int, held: ExitStack) -> list[str]:
    """Up to `needed` GPUs whose locks are now in `held`."""
    folder = Path(tempfile.gettempdir()) / f"ghostexp-{os.getuid()}"
    mine: list[str] = []
    for gpu in gpus:
        lock = Lock(folder / f"gpu-{gpu}.lock")
        try:
            lock.acquire(patience=0)
        except Busy:
            continue
        held.callback(lock.release)
        mine.append(gpu)
        if len(mine) == needed:
            break
    return mine
