"""A search that survives: Optuna's trials are counted over all launches of the same command.

Optuna's sweeper belongs to another package, so that ours stands before and after it as a callback.
Hydra turns a callback's exceptions into warnings: what has to end the launch is a SystemExit.
"""

import logging
import os
import sys
import traceback
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hydra.experimental.callback import Callback
from omegaconf import DictConfig, OmegaConf, open_dict, read_write

from ghostexp.config.cli import UserError, prepare_process
from ghostexp.sweeps.claim import ANY, claimed
from ghostexp.sweeps.job import check_devices, parse
from ghostexp.sweeps.outcome import show_outcome
from ghostexp.sweeps.workers import check_installed, threads_of_a_job

if TYPE_CHECKING:
    from optuna import Study


class SearchCallback(Callback):
    """Before a search: refuse one without validation, and take up what an earlier launch left.

    After it: the table, and exit code 1 if a trial of this launch failed, as after a sweep.
    """

    def __init__(self) -> None:
        self.held = ExitStack()

    def on_multirun_start(self, config: DictConfig, **kwargs: Any) -> None:
        with _ending_the_launch():
            check_installed(config.hydra)
            check_devices(config.trainer)
            check_validation(config)
            self.held.enter_context(claimed([Path(config.hydra.sweep.dir) / ANY]))
            study = open_study(config)
            self.num_earlier = len(study.trials)
            left = take_up(study, config.hydra.sweeper.n_trials)
            _name_by_what_varies(config)
            _divide_cores(config)
            with read_write(config), open_dict(config):
                config.hydra.sweeper.n_trials = left
                config.hydra.sweeper.sampler.seed += self.num_earlier  # else it draws the same

    def on_multirun_end(self, config: DictConfig, **kwargs: Any) -> None:
        with _ending_the_launch():
            self.held.close()
            show_outcome(Path(config.hydra.sweep.dir), [])
            new = open_study(config).trials[self.num_earlier :]
            failed = [trial.number for trial in new if trial.state.name == "FAIL"]
            if failed:
                raise UserError(f"{len(failed)} of {len(new)} trials failed: {failed}")

    def __reduce__(self) -> tuple[Any, ...]:
        """In a worker process: what train.py did at its start, before the trial is named."""
        return _start_worker, (sys.argv,)


@contextmanager
def _ending_the_launch() -> Iterator[None]:
    try:
        yield
    except UserError as error:
        raise SystemExit(f"error: {error}") from None
    except Exception:
        traceback.print_exc()
        raise SystemExit(1) from None


def _name_by_what_varies(config: DictConfig) -> None:
    """Name the folders of trials by the values that the search draws."""
    parsed = parse(OmegaConf.to_container(config.hydra.overrides.task, resolve=False))
    swept = {each.key_or_group for each in parsed if each.is_sweep_override()}
    swept |= set(config.hydra.sweeper.params or {})
    fixed = sorted({each.key_or_group for each in parsed} - swept)
    with read_write(config), open_dict(config):
        config.hydra.overrides.hydra.append(
            f"hydra.job.config.override_dirname.exclude_keys=[{','.join(fixed)}]"
        )


def _divide_cores(config: DictConfig) -> None:
    with read_write(config):
        threads = threads_of_a_job(config.hydra.launcher, config.hydra.sweeper.n_jobs)
    if threads is not None and "OMP_NUM_THREADS" not in config.hydra.job.env_set:
        with read_write(config), open_dict(config):
            config.hydra.overrides.hydra.append(f"++hydra.job.env_set.OMP_NUM_THREADS={threads}")


def _start_worker(command: list[str]) -> SearchCallback:
    sys.argv = command
    prepare_process()
    return SearchCallback()


def check_validation(config: DictConfig) -> None:
    """Refuse a search on data without validation images: it would select on the test images."""
    from ghostexp.config.build import build  # loads torch

    if not build(config.dataset, "dataset").has_validation:
        raise UserError(
            "a search compares runs on validation images, never on the test images:"
            " set dataset.val_split above 0"
        )


def open_study(config: DictConfig) -> "Study":
    """The search's own study, new or as an earlier launch left it."""
    # optuna 2.10, which the sweeper asks for, lives on SQLAlchemy 1.4, which tells of 2.0
    os.environ.setdefault("SQLALCHEMY_SILENCE_UBER_WARNING", "1")
    logging.getLogger("alembic").setLevel(logging.WARNING)
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    sweeper = config.hydra.sweeper
    return optuna.create_study(
        study_name=sweeper.study_name,
        storage=sweeper.storage,
        direction=sweeper.direction,
        load_if_exists=True,
    )


def take_up(study: "Study", num_trials: int) -> int:
    """Queue the trials that a killed launch left behind; return how many of `num_trials` are left.

    A trial that is asked the same again finds its run's folder, and goes on from its checkpoint.
    """
    from optuna.trial import TrialState

    left_behind = [trial for trial in study.trials if trial.state == TrialState.RUNNING]
    for trial in left_behind:
        study.tell(trial.number, state=TrialState.FAIL)
        if trial.params:  # else it was killed before it was asked anything
            study.enqueue_trial(trial.params)
    complete = sum(trial.state == TrialState.COMPLETE for trial in study.trials)
    return max(0, num_trials - complete)
