"""Optuna's study of a search, which several launches share: no trial is lost or done twice.

Each launch asks for a trial and tells its value. Between these two the trial bears the name of its
launch. A launch holds the lock of its note (`claim.py`) as long as it lives, so that the others see
which trials a dead launch left behind, and ask them again. Asking and telling happen under a lock
of their own, because SQLite and network file systems do not get on with several writers.
"""

import logging
import math
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hydra.utils import instantiate
from omegaconf import DictConfig

from ghostexp.config.explain import UserError
from ghostexp.files.lock import Lock
from ghostexp.results.record import FROZEN
from ghostexp.sweeps.claim import is_at_work
from ghostexp.sweeps.space import Space

if TYPE_CHECKING:
    import optuna

LAUNCH = "launch"  # attribute of a trial: the note of the launch that does it
ASKED_AGAIN = "asked again"  # attribute of the study: failed trials whose values others have
LOCK = ".search"
PATIENCE_SECONDS = 120.0  # to ask and tell takes another launch a second
MAX_DRAWS = 20  # until one is drawn that nobody is at work on


class Study:
    """The study of a folder, for one launch with the name `launch`.

    `num_trials` counts the trials of all launches together. A trial that fails is not replaced by
    the launches that are at work then, but by the next one.
    """

    def __init__(self, folder: Path, settings: DictConfig, space: Space, launch: str) -> None:
        self.folder = folder
        self.settings = settings
        self.space = space
        self.launch = launch
        self.lock = Lock(folder / FROZEN / LOCK)
        with self._alone():
            self.study = open_study(settings)
            self.first = len(self.study.trials)  # trials before are earlier launches'

    def ask(self) -> "optuna.Trial | None":
        """A trial for this launch: one that a dead launch left, or a new one; None for no more."""
        with self._alone():
            self._take_up()
            for _ in range(MAX_DRAWS):
                if self._left() <= 0:
                    return None
                trial = self._draw()
                if trial.params not in self._at_work(trial.number):
                    return trial
                self._give_up(trial.number)
        return None

    def tell(self, trial: "optuna.Trial", value: float | None) -> None:
        """What came out of a trial; None if it failed."""
        from optuna.trial import TrialState

        with self._alone():
            if value is None or math.isnan(value):
                self.study.tell(trial, state=TrialState.FAIL)
            else:
                self.study.tell(trial, value)

    @contextmanager
    def _alone(self) -> Iterator[None]:
        self.lock.acquire(PATIENCE_SECONDS)
        try:
            yield
        finally:
            self.lock.release()

    def _draw(self) -> "optuna.Trial":
        number = len(self.study.trials)
        self.study.sampler = _sampler(self.settings.sampler, number)
        trial = self.study.ask(self.space)
        trial.set_user_attr(LAUNCH, self.launch)
        return trial

    def _take_up(self) -> None:
        """Queue the values of trials whose launches are dead: their runs go on from checkpoints."""
        from optuna.trial import TrialState

        for trial in self.study.get_trials(states=[TrialState.RUNNING]):
            launch = trial.user_attrs.get(LAUNCH)
            if launch is not None and is_at_work(self.folder, launch):
                continue
            self._give_up(trial.number)
            if trial.params:  # else it was killed before it was asked anything
                self.study.enqueue_trial(trial.params)

    def _give_up(self, number: int) -> None:
        """End a trial whose values another trial has, now or soon."""
        from optuna.trial import TrialState

        self.study.set_user_attr(ASKED_AGAIN, [*self._asked_again(), number])
        self.study.tell(number, state=TrialState.FAIL)

    def _at_work(self, but: int) -> list[dict[str, Any]]:
        """Values of the trials that are asked and not told yet."""
        from optuna.trial import TrialState

        running = self.study.get_trials(states=[TrialState.RUNNING])
        return [trial.params for trial in running if trial.number != but]

    def _asked_again(self) -> list[int]:
        return self.study.user_attrs.get(ASKED_AGAIN, [])

    def _left(self) -> int:
        """How many trials may still be asked."""
        again = self._asked_again()
        failed = {
            trial.number
            for trial in self.study.trials[self.first :]
            if trial.state.name == "FAIL" and trial.number not in again
        }
        states = [trial.state.name for trial in self.study.trials]
        done = states.count("COMPLETE") + states.count("RUNNING")
        return self.settings.n_trials - done - len(failed)


def open_study(settings: DictConfig) -> "optuna.Study":
    """The search's own study, new or as an earlier launch left it."""
    logging.getLogger("alembic").setLevel(logging.WARNING)
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        return optuna.create_study(
            study_name=settings.study_name,
            storage=settings.storage,
            direction=settings.direction,
            load_if_exists=True,
        )
    except Exception as error:  # of many databases' packages, and of an older Optuna's tables
        raise UserError(f"{settings.storage}: {str(error).splitlines()[0]}") from error


def _sampler(node: DictConfig, number: int) -> "optuna.samplers.BaseSampler":
    """The sampler of a trial. With one seed for all, launches side by side would draw the same."""
    if isinstance(node.get("seed"), int):
        return instantiate(node, seed=node.seed + number)
    return instantiate(node)
