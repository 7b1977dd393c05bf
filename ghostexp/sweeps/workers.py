"""How the jobs of a sweep share this machine, and which packages start them."""

import os
from collections.abc import Sequence
from importlib.util import find_spec

from joblib import cpu_count, effective_n_jobs
from omegaconf import DictConfig

from ghostexp.config.cli import UserError

EXTRAS = {  # package of a plugin -> the extra that installs it
    "hydra_joblib_launcher": "joblib",
    "hydra_submitit_launcher": "submitit",
    "hydra_ray_launcher": "ray",
    "hydra_optuna_sweeper": "optuna",
}


def check_installed(hydra: DictConfig) -> None:
    """Refuse a launcher or sweeper whose package is missing, with the command that installs it."""
    for group in ("launcher", "sweeper"):
        package, _, rest = hydra[group]._target_.partition(".")
        plugin = rest.split(".")[0]
        if package == "hydra_plugins" and plugin in EXTRAS and not _is_installed(plugin):
            choice = hydra.runtime.choices[f"hydra/{group}"]
            raise UserError(
                f"hydra/{group}={choice} is not installed: pip install 'ghostexp[{EXTRAS[plugin]}]'"
            )


def threads_of_a_job(launcher: DictConfig, jobs: int) -> int | None:
    """Threads of each job, so that those at work at once share the cores; None for one at a time.

    `jobs` is how many the sweeper gives to the launcher at once. A joblib launcher's `n_jobs` is
    replaced by the number of jobs that will be at work at once.
    """
    cores = cpu_count()
    match launcher._target_.rpartition(".")[2]:
        case "JoblibLauncher":
            if launcher.n_jobs > cores:
                raise UserError(
                    f"hydra.launcher.n_jobs={launcher.n_jobs} is more than the {cores} cores"
                )
            launcher.n_jobs = min(effective_n_jobs(launcher.n_jobs), jobs)  # -1: all cores
            threads = cores // launcher.n_jobs
        case "LocalLauncher":
            if jobs > cores:
                raise UserError(
                    f"submitit_local starts all {jobs} jobs at once, more than the {cores} cores:"
                    " hydra/launcher=joblib queues them"
                )
            threads = cores // jobs
        case "SlurmLauncher":
            threads = launcher.cpus_per_task
        case "RayLauncher":
            threads = launcher.ray.remote.num_cpus
        case _:
            return None
    return min(threads, int(os.environ.get("OMP_NUM_THREADS", threads)))


def is_serial(launcher: DictConfig) -> bool:
    """Whether the launcher does one job after the other in this process."""
    return launcher._target_.endswith("BasicLauncher")


def largest(batches: Sequence[Sequence[object]]) -> int:
    """Jobs of the largest batch."""
    return max(map(len, batches), default=0)


def _is_installed(plugin: str) -> bool:
    try:
        return find_spec(f"hydra_plugins.{plugin}") is not None
    except ModuleNotFoundError:  # no plugin of Hydra at all is installed
        return False
