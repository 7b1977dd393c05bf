"""How the jobs of a sweep share this machine, and which packages start them."""

import os
from importlib.util import find_spec

from joblib import cpu_count, effective_n_jobs
from omegaconf import DictConfig

from ghostexp.config.explain import UserError

EXTRAS = {  # package of a plugin -> the extra that installs it
    "hydra_joblib_launcher": "joblib",
    "hydra_submitit_launcher": "submitit",
    "hydra_ray_launcher": "ray",
}


def check_installed(hydra: DictConfig) -> None:
    """Refuse a launcher or a search whose package is missing, with the command that installs it."""
    package, plugin, *_, launcher = hydra.launcher._target_.split(".")
    choice = hydra.runtime.choices["hydra/launcher"]
    if package == "hydra_plugins" and plugin in EXTRAS and not _is_installed(plugin):
        raise UserError(
            f"hydra/launcher={choice} is not installed: pip install 'ghostexp[{EXTRAS[plugin]}]'"
        )
    if launcher == "SlurmLauncher" and find_spec("submitit") is None:
        raise UserError(
            f"hydra/launcher={choice} is not installed: pip install 'ghostexp[submitit]'"
        )
    if "sampler" in hydra.sweeper and find_spec("optuna") is None:
        raise UserError(
            "a search needs Optuna, which is not installed: pip install 'ghostexp[optuna]'"
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


def generations_to_jobs(launcher: DictConfig) -> int:
    """How many generations of processes lie between this one and its jobs, which it waits for.

    joblib's processes are children of this one. submitit starts a process that starts the job. 0
    where the jobs are in this process, or on other machines.
    """
    return {"JoblibLauncher": 1, "LocalLauncher": 2}.get(launcher._target_.rpartition(".")[2], 0)


def shares_this_machine(launcher: DictConfig) -> bool:
    """Whether the launcher does several jobs at once on the machine that it is started on."""
    return generations_to_jobs(launcher) > 0


def _is_installed(plugin: str) -> bool:
    try:
        return find_spec(f"hydra_plugins.{plugin}") is not None
    except ModuleNotFoundError:  # no plugin of Hydra at all is installed
        return False
