"""The one place that runs a sweep over a grid; it replaces Hydra's sweeper.

Hydra turns the exceptions of a callback into warnings and tells it of a sweep's end only where all
jobs went well. A sweeper has neither limit.
"""

import logging
from pathlib import Path
from typing import Any

from hydra.core.utils import JobReturn, JobStatus
from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, OmegaConf

from ghostexp.config.explain import UserError
from ghostexp.download import offline
from ghostexp.sweeps import dry_run, notices
from ghostexp.sweeps.claim import claimed, why_refused
from ghostexp.sweeps.decision import is_done
from ghostexp.sweeps.grid import Point, compose_points, grid_arguments
from ghostexp.sweeps.job import Job
from ghostexp.sweeps.launcher import Launches
from ghostexp.sweeps.outcome import show_outcome
from ghostexp.sweeps.workers import check_installed, is_serial
from ghostexp.training import stopping

log = logging.getLogger(__name__)


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
        task = OmegaConf.to_container(config.hydra.overrides.task, resolve=False)
        arguments = grid_arguments(self.params, task)
        self.points = compose_points(
            config, arguments, set(self.params), hydra_context.config_loader
        )
        self.config = config
        self.launches = Launches(config, hydra_context, task_function, self._batch_size())

    def sweep(self, arguments: list[str]) -> Any:
        """Do all jobs; `UserError` at the end if any of them failed."""
        jobs = [point.job for point in self.points]
        if dry_run.is_asked():
            self._show_plan(jobs)
            return []
        with stopping.Stopping(lambda signum: None), claimed([job.directory for job in jobs]):
            results: list[JobReturn] = []
            with notices.once():
                self._check(jobs)
                for job in jobs:
                    job.freeze()
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

    def _show_plan(self, jobs: list[Job]) -> None:
        """Check the sweep, and print what a launch would start; nothing is written."""
        with notices.once(), offline():
            self._check(jobs)
        for sentence in why_refused([job.directory for job in jobs]):
            log.warning("a launch now would be refused: %s", sentence)
        to_do = [point for point in self.points if not is_done(point.job)]
        if to_do:
            print(self.launches.plan(to_do))

    def _check(self, jobs: list[Job]) -> None:
        """Refuse the sweep if any job cannot run."""
        from ghostexp.sweeps.preflight import preflight  # torch loads when a sweep starts

        preflight(jobs)

    def _launch(self, results: list[JobReturn]) -> None:
        """All batches; with on_error=stop none after a failure."""
        for batch in self._batches():
            stopping.check()
            results.extend(self.launches.launch(batch))
            failed = any(result.status == JobStatus.FAILED for result in results)
            if failed and self.config.on_error == "stop":
                left = len(self.points) - self.launches.done
                log.warning("on_error=stop: %d jobs are not started", left)
                return

    def _batches(self) -> list[list[Point]]:
        """One job at a time where the launcher does them in turn, else as many as it is given."""
        size = 1 if is_serial(self.config.hydra.launcher) else self._batch_size()
        return [self.points[i : i + size] for i in range(0, len(self.points), size)]

    def _batch_size(self) -> int:
        return min(self.max_batch_size or len(self.points), len(self.points))
