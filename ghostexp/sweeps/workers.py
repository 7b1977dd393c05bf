"""What the processes of a parallel sweep need, whichever launcher starts them.

A worker gets its Hydra job pickled, this callback with it. Unpickling it is therefore the first
that happens there, before the job's folder is named by our resolvers.
"""

import os
import sys
from importlib.util import find_spec
from typing import Any

from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.experimental.callback import Callback
from joblib import cpu_count, effective_n_jobs
from omegaconf import DictConfig, open_dict, read_write

from ghostexp.config.cli import UserError, prepare_process
from ghostexp.sweeps.sweep import sweep_arguments

EXTRAS = {  # package of a plugin -> the extra that installs it
    "hydra_joblib_launcher": "joblib",
    "hydra_submitit_launcher": "submitit",
    "hydra_ray_launcher": "ray",
    "hydra_optuna_sweeper": "optuna",
}


class WorkersCallback(Callback):
    """Before a sweep: divide the cores among its jobs. In each worker: prepare it."""

    def on_multirun_start(self, config: DictConfig, **kwargs: Any) -> None:
        try:
            check_installed(config)
            with read_write(config):
                threads = threads_of_a_job(config, cpu_count())
        except UserError as error:  # Hydra turns a callback's exceptions into warnings
            raise SystemExit(f"error: {error}") from None
        if threads is None or "OMP_NUM_THREADS" in config.hydra.job.env_set:
            return
        with read_write(config), open_dict(config):
            config.hydra.overrides.hydra.append(f"++hydra.job.env_set.OMP_NUM_THREADS={threads}")

    def __reduce__(self) -> tuple[Any, ...]:
        return _start_worker, (sys.argv,)


def check_installed(config: DictConfig) -> None:
    """Refuse a launcher or sweeper whose plugin is missing, with what installs it."""
    for group in ("launcher", "sweeper"):
        package, _, rest = config.hydra[group]._target_.partition(".")
        plugin = rest.split(".")[0]
        if package == "hydra_plugins" and find_spec(f"{package}.{plugin}") is None:
            choice = config.hydra.runtime.choices[f"hydra/{group}"]
            raise UserError(
                f"hydra/{group}={choice} is not installed: pip install 'ghostexp[{EXTRAS[plugin]}]'"
            )


def threads_of_a_job(config: DictConfig, cores: int) -> int | None:
    """Threads of each job, so that those at work at once share `cores`; None for one at a time.

    A joblib launcher's `n_jobs` is replaced by the number of jobs that will be at work at once.
    """
    launcher = config.hydra.launcher
    match launcher._target_.rpartition(".")[2]:
        case "JoblibLauncher":
            if launcher.n_jobs > cores:
                raise UserError(
                    f"hydra.launcher.n_jobs={launcher.n_jobs} is more than the {cores} cores"
                )
            launcher.n_jobs = effective_n_jobs(launcher.n_jobs)  # -1: all cores
            launcher.n_jobs = min(launcher.n_jobs, jobs_of_a_batch(config))
            threads = cores // launcher.n_jobs
        case "LocalLauncher":
            jobs = jobs_of_a_batch(config)
            if jobs > cores:
                raise UserError(
                    f"submitit_local starts all {jobs} jobs at once, more than the {cores} cores:"
                    f" hydra/launcher=joblib queues them"
                )
            threads = cores // jobs
        case "SlurmLauncher":
            threads = launcher.cpus_per_task
        case "RayLauncher":
            threads = launcher.ray.remote.num_cpus
        case _:
            return None
    return min(threads, int(os.environ.get("OMP_NUM_THREADS", threads)))


def jobs_of_a_batch(config: DictConfig) -> int:
    """Jobs that the sweeper gives to the launcher at once."""
    sweeper = config.hydra.sweeper
    if not sweeper._target_.endswith("BasicSweeper"):
        return sweeper.n_jobs
    parsed = OverridesParser.create().parse_overrides(sweep_arguments(config))
    return max(map(len, BasicSweeper.split_arguments(parsed, sweeper.max_batch_size)))


def _start_worker(command: list[str]) -> WorkersCallback:
    """Unpickled form: what train.py did at its start, and its command line, for the record."""
    sys.argv = command
    prepare_process()
    return WorkersCallback()
