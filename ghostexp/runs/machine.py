"""What a run computes on, in words for its record."""

import logging
import os
import platform
from pathlib import Path

import pytorch_lightning as pl
import torch
from joblib import cpu_count

from ghostexp.results.wording import counted

log = logging.getLogger(__name__)


def describe_device(trainer: pl.Trainer) -> str:
    """What computes: name, count, and on a CPU its threads."""
    device = trainer.strategy.root_device
    if device.type == "cuda":
        return f"{trainer.num_devices} x {torch.cuda.get_device_name(device)}"
    processes = f"{trainer.world_size} processes of " if trainer.world_size > 1 else ""
    threads = counted(torch.get_num_threads(), "thread")
    return f"{processor()}, {processes}{threads}"


def processor() -> str:
    """The processor's name and the number of its cores."""
    return f"{cpu_name()}, {counted(os.cpu_count() or 1, 'core')}"


def cpu_name() -> str:
    """The processor, as it calls itself."""
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def use_allowed_cores() -> None:
    """Let torch compute on no more threads than this process may use processors.

    torch counts the machine's processors. A container may be allowed a share of their time only,
    and each step then waits for threads that are not allowed to run. OMP_NUM_THREADS overrides it.
    """
    allowed = allowed_cores()
    if "OMP_NUM_THREADS" not in os.environ and torch.get_num_threads() > allowed:
        log.info("%d threads, because this process may use no more processors", allowed)
        torch.set_num_threads(allowed)


def allowed_cores() -> int:
    """Processors that this process may use, by its affinity and by its container's quota."""
    return cpu_count()
