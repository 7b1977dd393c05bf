"""Hydra's launchers, as our sweepers use them: composed jobs go in, how they ended comes out."""

import logging
import shlex
from collections.abc import Sequence
from contextlib import nullcontext
from typing import Any

from hydra.core.plugins import Plugins
from hydra.core.utils import JobReturn, JobStatus
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, OmegaConf, open_dict, read_write

from ghostexp.results.record import FILE_NAME
from ghostexp.sweeps.command import DoJob, job_words
from ghostexp.sweeps.grid import Point
from ghostexp.sweeps.side_by_side import Ended, passed_on
from ghostexp.sweeps.slurm import SlurmLauncher
from ghostexp.sweeps.workers import generations_to_jobs, threads_of_a_job
from ghostexp.training.stopping import Stopped

log = logging.getLogger(__name__)


class FrozenConfigs:
    """In the place of Hydra's config loader for a launcher: it composes nothing any more.

    Hydra would read every YAML file again for each job, and an edit in the midst of a sweep would
    reach the jobs that have not begun.
    """

    def __init__(self) -> None:
        self.configs: dict[str, DictConfig] = {}

    def load_sweep_config(self, master_config: DictConfig, sweep_overrides: list[str]) -> Any:
        """The config of the point with these overrides, as it was composed at the launch."""
        return self.configs[_key(sweep_overrides)].copy()


class Launches:
    """Gives points to the launcher that the config chooses, at most `at_once` of them at a time."""

    def __init__(
        self, config: DictConfig, context: HydraContext, task_function: TaskFunction, at_once: int
    ) -> None:
        self.done = 0
        self.generations = generations_to_jobs(config.hydra.launcher)
        self.frozen = FrozenConfigs()
        with read_write(config):
            self.threads = threads_of_a_job(config.hydra.launcher, at_once)
        self.launcher: Launcher = Plugins.instance().instantiate_launcher(
            hydra_context=HydraContext(self.frozen, context.callbacks),
            task_function=DoJob(task_function),
            config=config,
        )

    def launch(self, points: Sequence[Point]) -> Sequence[JobReturn]:
        """Do the jobs of these points, whose configs are frozen; wait for all of them."""
        overrides = [overrides_of(point) for point in points]
        for point, given in zip(points, overrides, strict=True):
            self._share_cores(point.composed)
            self.frozen.configs[_key(given)] = point.composed
        with passed_on(self.generations) if self.generations else nullcontext():
            launched = self.launcher.launch(overrides, initial_job_idx=self.done)
        self.done += len(points)
        self.frozen.configs.clear()
        for point, ended in zip(points, launched, strict=True):
            _tell_failure(point, ended)
            if ended.status == JobStatus.COMPLETED and isinstance(ended.return_value, Ended):
                raise Stopped(ended.return_value.signum)
        return launched

    def plan(self, points: Sequence[Point]) -> str:
        """What would be started: the batch file of a Slurm launcher, and each job's command."""
        batch = self.launcher.plan(len(points)) if isinstance(self.launcher, SlurmLauncher) else ""
        do_job = DoJob(lambda cfg: None)
        words = [job_words(do_job.program, p.job.directory, do_job.granted) for p in points]
        return "\n".join([*([batch] if batch else []), *map(shlex.join, words)])

    def _share_cores(self, composed: DictConfig) -> None:
        """Give the job its share of the cores, unless the user has said how many threads."""
        if self.threads is None or "OMP_NUM_THREADS" in composed.hydra.job.env_set:
            return
        with read_write(composed), open_dict(composed):
            composed.hydra.job.env_set.OMP_NUM_THREADS = str(self.threads)


def _tell_failure(point: Point, ended: JobReturn) -> None:
    """Say why a job failed that has left no record of it."""
    if ended.status != JobStatus.FAILED or (point.job.directory / FILE_NAME).exists():
        return
    try:
        told = str(ended.return_value)  # Hydra raises the job's exception here
    except Exception as error:
        told = f"{type(error).__name__}: {error}"
    log.error("%s failed: %s", point.job.title, " ".join(told.split()))


def overrides_of(point: Point) -> list[str]:
    """What a launcher is given for a point."""
    return OmegaConf.to_container(point.composed.hydra.overrides.task, resolve=False)


def _key(overrides: list[str]) -> str:
    return "\n".join(overrides)
