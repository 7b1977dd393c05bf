"""A search that survives: Optuna draws the trials, and several launches at once may do them.

The trials are counted over all launches of the same command. `study.py` shares them out, and a
trial is a job as of a grid: frozen, named by its values, and gone on with after an interruption.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.utils import JobReturn, JobStatus
from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext, TaskFunction
from joblib import effective_n_jobs
from omegaconf import DictConfig, OmegaConf

from ghostexp.config.arguments import DRY_RUN
from ghostexp.config.explain import UserError
from ghostexp.sweeps import dry_run, notices
from ghostexp.sweeps.claim import searching
from ghostexp.sweeps.compose import Composer
from ghostexp.sweeps.grid import Point, compose_point, grid_arguments
from ghostexp.sweeps.job import chosen
from ghostexp.sweeps.launcher import Launches
from ghostexp.sweeps.outcome import show_outcome
from ghostexp.sweeps.space import Space, as_overrides, space_of
from ghostexp.sweeps.study import Study
from ghostexp.sweeps.workers import check_installed
from ghostexp.training import stopping

if TYPE_CHECKING:
    from optuna import Trial


class SearchSweeper(Sweeper):
    """Asks the study for trials, does them, tells what came out; then shows the table.

    `sampler` is an Optuna sampler, `storage` the address of the database, `n_trials` the trials of
    all launches, `n_jobs` how many of them this launch does at once, `params` what a preset varies.
    """

    def __init__(
        self,
        sampler: DictConfig,
        direction: str,
        storage: str,
        study_name: str,
        n_trials: int,
        n_jobs: int,
        params: dict[str, Any] | None,
    ) -> None:
        self.n_jobs = n_jobs
        self.params = params or {}

    def setup(
        self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig
    ) -> None:
        """Read what is searched and prepare the launcher; nothing is written yet."""
        if dry_run.is_asked():
            raise UserError(f"{DRY_RUN} is for grids: a search draws its trials as it goes")
        check_installed(config.hydra)
        self.config = config
        self.loader = hydra_context.config_loader
        self.compose = Composer(config, hydra_context.config_loader)
        self._read_arguments()
        check_validation(config)
        self.at_once = effective_n_jobs(self.n_jobs)
        self.launches = Launches(config, hydra_context, task_function, self.at_once)

    def sweep(self, arguments: list[str]) -> Any:
        """Do the trials that are left; `UserError` at the end if any of them failed."""
        folder, settings = Path(self.config.hydra.sweep.dir), self.config.hydra.sweeper
        results: list[tuple[int, JobReturn]] = []
        with (
            stopping.Stopping(lambda signum: None),
            searching(folder, settings.study_name) as launch,
            notices.once(),
        ):
            study = Study(folder, settings, self.space, launch)
            try:
                self._do_trials(study, results)
            finally:
                show_outcome(folder, [])
        failed = [number for number, result in results if result.status == JobStatus.FAILED]
        if failed:
            raise UserError(f"{len(failed)} of {len(results)} trials failed: {failed}")
        return [result for _, result in results]

    def _do_trials(self, study: Study, results: list[tuple[int, JobReturn]]) -> None:
        """As many as may be asked, `n_jobs` at once; with on_error=stop none after a failure."""
        while trials := self._ask(study):
            stopping.check()
            points = [self._compose(trial.params) for trial in trials]
            for point in points:
                point.job.freeze()
            for trial, result in zip(trials, self.launches.launch(points), strict=True):
                failed = result.status == JobStatus.FAILED
                study.tell(trial, None if failed else result.return_value)
                results.append((trial.number, result))
            failed = any(result.status == JobStatus.FAILED for _, result in results)
            if failed and self.config.on_error == "stop":
                return

    def _ask(self, study: Study) -> list["Trial"]:
        trials: list[Trial] = []
        while len(trials) < self.at_once and (trial := study.ask()) is not None:
            trials.append(trial)
        return trials

    def _read_arguments(self) -> None:
        """The values that all trials share, and the space of those that a trial draws."""
        task = OmegaConf.to_container(self.config.hydra.overrides.task, resolve=False)
        arguments = grid_arguments(self.params, task)
        parsed = OverridesParser.create(config_loader=self.loader).parse_overrides(arguments)
        self.space: Space = space_of(parsed)
        self.fixed = [each.input_line for each in parsed if not each.is_sweep_override()]
        check_keys(self.config, self.space, self.params)

    def _compose(self, drawn: dict[str, Any]) -> Point:
        overrides = [*self.fixed, *as_overrides(drawn)]
        return compose_point(self.compose, overrides, set(self.space))


def check_keys(config: DictConfig, space: Space, params: dict[str, Any]) -> None:
    """Refuse a preset that varies what this config does not have."""
    groups = chosen(config.hydra)
    for key in space:
        place, _, last = key.rpartition(".")
        parent = OmegaConf.select(config, place) if place else config
        if key in params and key not in groups and (parent is None or last not in parent):
            raise UserError(
                f"the search varies {key}, which this config does not have: choose other parts, or"
                f" leave it out by 'hydra.sweeper.params={{{key}:null}}'"
            )


def check_validation(config: DictConfig) -> None:
    """Refuse a search on data without validation images: it would select on the test images."""
    from ghostexp.config.build import build  # loads torch

    if not build(config.dataset, "dataset").has_validation:
        raise UserError(
            "a search compares runs on validation images, never on the test images:"
            " set dataset.val_split above 0"
        )
