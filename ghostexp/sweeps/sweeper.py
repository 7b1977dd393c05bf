"""The one place that runs a sweep over a grid, in the stead of Hydra's own sweeper.

Hydra turns the exceptions of a callback into warnings and tells it of a sweep's end only where all
jobs went well. A sweeper has neither limit. Hydra 1.3.8 instantiates only classes whose name starts
with `hydra_plugins.`; a class that `register` hands to it by hand needs no package of that name,
which every other Hydra application of the environment would load.
"""

import logging
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

from hydra.core.plugins import Plugins
from hydra.core.utils import JobReturn, JobStatus
from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, OmegaConf, open_dict, read_write

from ghostexp.config import grants
from ghostexp.config.cli import UserError
from ghostexp.sweeps import notices
from ghostexp.sweeps.claim import claimed
from ghostexp.sweeps.grid import (
    FrozenConfigs,
    Point,
    compose_points,
    grid_arguments,
    overrides_of,
)
from ghostexp.sweeps.job import Job, check_devices
from ghostexp.sweeps.outcome import show_outcome
from ghostexp.sweeps.workers import check_installed, is_serial, threads_of_a_job
from ghostexp.training import stopping

log = logging.getLogger(__name__)

PACKAGE = "hydra_plugins"


class OfTheCommandLine:
    """What does a job, also in another process: there it learns what the command line granted."""

    def __init__(self, task_function: TaskFunction) -> None:
        self.task_function = task_function
        self.granted = grants.granted()

    def __call__(self, cfg: DictConfig) -> Any:
        grants.grant(self.granted)
        return self.task_function(cfg)


class GridSweeper(Sweeper):
    """Checks every point of the grid, freezes the configs, launches what is left, shows the table.

    Arguments as of Hydra's basic sweeper: `max_batch_size` jobs are given to a parallel launcher at
    once, `params` are the values that a preset sweeps.
    """

    def __init__(self, max_batch_size: int | None, params: dict[str, Any] | None) -> None:
        self.max_batch_size = max_batch_size
        self.params = params or {}

    def setup(
        self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig
    ) -> None:
        """Compose the grid and prepare the launcher; nothing is written yet."""
        check_installed(config.hydra)
        if self.max_batch_size is not None and self.max_batch_size < 1:
            raise UserError(
                "hydra.sweeper.max_batch_size is a number of jobs, or null for all, not"
                f" {self.max_batch_size}"
            )
        check_devices(config.trainer)
        task = OmegaConf.to_container(config.hydra.overrides.task, resolve=False)
        arguments = grid_arguments(self.params, task)
        self.points = compose_points(
            config, arguments, set(self.params), hydra_context.config_loader
        )
        self._divide_cores(config)
        self.config = config
        self.launcher = Plugins.instance().instantiate_launcher(
            hydra_context=HydraContext(FrozenConfigs(self.points), hydra_context.callbacks),
            task_function=OfTheCommandLine(task_function),
            config=config,
        )

    def sweep(self, arguments: list[str]) -> Any:
        """Do all jobs; `UserError` at the end if any of them failed."""
        jobs = [point.job for point in self.points]
        with stopping.Stopping(lambda signum: None), claimed([job.directory for job in jobs]):
            results: list[JobReturn] = []
            with notices.once():
                self._prepare(jobs)
                try:
                    self._launch(results)
                finally:
                    show_outcome(Path(self.config.hydra.sweep.dir), jobs)
        failed = sum(result.status == JobStatus.FAILED for result in results)
        if failed:
            raise UserError(
                f"{failed} of {len(jobs)} jobs failed; the same command tries them again"
            )
        return results

    def _prepare(self, jobs: list[Job]) -> None:
        """Refuse the sweep if any job cannot run, else freeze all jobs."""
        from ghostexp.sweeps.preflight import preflight  # torch loads when a sweep starts

        preflight(jobs)
        for job in jobs:
            job.freeze()

    def _launch(self, results: list[JobReturn]) -> None:
        """All batches; with on_error=stop none after a failure."""
        done = 0
        for batch in self._batches():
            stopping.check()
            launched = self.launcher.launch(
                [overrides_of(point) for point in batch], initial_job_idx=done
            )
            results.extend(launched)
            done += len(batch)
            failed = any(result.status == JobStatus.FAILED for result in launched)
            if failed and self.config.on_error == "stop":
                log.warning("on_error=stop: %d jobs are not started", len(self.points) - done)
                return

    def _batches(self) -> list[list[Point]]:
        """One job at a time where the launcher does them in turn, else as many as it is given."""
        size = 1 if is_serial(self.config.hydra.launcher) else self._batch_size()
        return [self.points[i : i + size] for i in range(0, len(self.points), size)]

    def _batch_size(self) -> int:
        return min(self.max_batch_size or len(self.points), len(self.points))

    def _divide_cores(self, config: DictConfig) -> None:
        """Give each job its share of the cores, unless the user has said how many threads."""
        with read_write(config):
            threads = threads_of_a_job(config.hydra.launcher, self._batch_size())
        if threads is None or "OMP_NUM_THREADS" in config.hydra.job.env_set:
            return
        for point in self.points:
            with read_write(point.composed), open_dict(point.composed):
                point.composed.hydra.job.env_set.OMP_NUM_THREADS = str(threads)


def register() -> None:
    """Make the sweeper known to Hydra, before `hydra.main`: under the name that its YAML gives."""
    plugins = Plugins.instance()  # imports the package hydra_plugins where any plugin is installed
    sys.modules.setdefault(PACKAGE, ModuleType(PACKAGE))
    sys.modules[f"{PACKAGE}.ghostexp"] = sys.modules[__name__]
    GridSweeper.__module__ = f"{PACKAGE}.ghostexp"
    plugins.register(GridSweeper)
