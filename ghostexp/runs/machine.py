"""What a run computes on, in words for its record."""

import os
import platform
from pathlib import Path

import pytorch_lightning as pl
import torch


def describe_device(trainer: pl.Trainer) -> str:
    """What computes: name, count, and on a CPU its threads."""
    device = trainer.strategy.root_device
    if device.type == "cuda":
        return f"{trainer.num_devices} x {torch.cuda.get_device_name(device)}"
    processes = f"{trainer.world_size} processes of " if trainer.world_size > 1 else ""
    threads = f"{processes}{torch.get_num_threads()} threads"
    return f"{cpu_name()}, {os.cpu_count()} cores, {threads}"


def cpu_name() -> str:
    """The processor, as it calls itself."""
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()
