"""A search that survives: Optuna's trials are counted over all launches of the same command."""

import logging
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hydra.experimental.callback import Callback
from omegaconf import DictConfig, open_dict, read_write

from ghostexp.config.cli import UserError
from ghostexp.sweeps.launch import ANY, claim

if TYPE_CHECKING:
    from optuna import Study


class SearchCallback(Callback):
    """Before a search: refuse one without validation, and take up what an earlier launch left.

    After it: exit code 1 if a trial of this launch failed, as after a sweep.
    """

    def on_multirun_start(self, config: DictConfig, **kwargs: Any) -> None:
        try:
            check_validation(config)
            self.notes = claim([Path(config.hydra.sweep.dir) / ANY])
        except UserError as error:  # Hydra turns a callback's exceptions into warnings
            raise SystemExit(f"error: {error}") from None
        study = open_study(config)
        self.num_earlier = len(study.trials)
        left = take_up(study, config.hydra.sweeper.n_trials)
        with read_write(config), open_dict(config):
            config.hydra.sweeper.n_trials = left
            config.hydra.sweeper.sampler.seed += self.num_earlier  # else it draws the same again

    def on_multirun_end(self, config: DictConfig, **kwargs: Any) -> None:
        for note in self.notes:
            note.unlink(missing_ok=True)
        new = open_study(config).trials[self.num_earlier :]
        failed = [trial.number for trial in new if trial.state.name == "FAIL"]
        if failed:
            raise SystemExit(f"{len(failed)} of {len(new)} trials failed: {failed}")


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
