"""Where runs live, as OmegaConf resolvers: they must be registered before Hydra composes.

A single run gets a new folder each time; a job of a sweep gets a folder named by the values that
the sweep varies, the same one when the same command runs again.
"""

import hashlib
import os
import re
from datetime import datetime
from pathlib import Path

from omegaconf import OmegaConf

OUTPUTS = Path("outputs")
MAX_NAME = 120  # of the 255 bytes that file systems allow


def register_resolvers() -> None:
    """Make `new_run_dir`, `job_dir` and `scale_lr` known to every config."""
    OmegaConf.register_new_resolver("new_run_dir", new_run_dir, use_cache=True, replace=True)
    OmegaConf.register_new_resolver("job_dir", job_dir, replace=True)
    OmegaConf.register_new_resolver("scale_lr", scale_lr, replace=True)


def new_run_dir(name: str, resume: str | None) -> str:
    """Folder of the run to `resume`, or a new one under outputs/<name>/ that no other run has."""
    if resume is not None:
        return str(resume)
    check_name(name)
    stamp = OUTPUTS / str(name) / datetime.now().strftime("%Y-%m-%d_%H-%M-%S")
    directory, attempt = stamp, 1
    while not _made(directory):
        attempt += 1
        directory = stamp.with_name(f"{stamp.name}_{attempt}")
    return str(directory)


def check_name(name: object) -> None:
    """ValueError unless `name` can be a folder below outputs/."""
    text = str(name)
    is_name = isinstance(name, str | int) and not isinstance(name, bool)
    if not is_name or text in ("", ".", "..") or set(text) & set("/\\\0"):
        given = "null" if name is None else repr(name)
        raise ValueError(
            f"name is the name of one folder below {OUTPUTS}/, without a slash, not {given}"
        )


def job_dir(override_dirname: str) -> str:
    """Legal folder name of bounded length for the swept values `key=value,key=value`."""
    name = re.sub(r"[^\w.,=+-]", "_", override_dirname) or "only"
    if name == override_dirname and len(name) <= MAX_NAME:
        return name
    digest = hashlib.sha256(override_dirname.encode()).hexdigest()[:8]
    return name if name == "only" else f"{name[: MAX_NAME - 9]}-{digest}"


def scale_lr(lr: float, batch_size: int) -> float:
    """Learning rate for `batch_size` from the one for 128 images, linear (Goyal et al. 2017)."""
    if not isinstance(batch_size, int) or isinstance(batch_size, bool):
        raise ValueError(f"dataset.batch_size must be a whole number, not {batch_size!r}")
    return lr * batch_size / 128


def _made(directory: Path) -> bool:
    directory.parent.mkdir(parents=True, exist_ok=True)
    try:
        os.mkdir(directory)  # fails where the folder exists: two runs never share one
    except FileExistsError:
        return False
    return True
