"""The log of a job that Hydra did not start."""

from pathlib import Path

from hydra.core.utils import configure_log
from omegaconf import open_dict, read_write

from ghostexp.config.cli import compose_config


def log_as_hydra(directory: Path) -> None:
    """Log to the screen and to the job's file, as the jobs that Hydra starts."""
    hydra = compose_config([], with_hydra=True).hydra
    directory.mkdir(parents=True, exist_ok=True)  # the file lies there
    with read_write(hydra), open_dict(hydra):
        hydra.runtime.output_dir = str(directory)
        configure_log(hydra.job_logging)
