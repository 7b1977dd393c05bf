"""What Slurm runs as one job of a sweep: a command, which ends before the job is queued again."""

import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from ghostexp.sweeps.command import end, wait_for
from ghostexp.training.stopping import Stopped

if TYPE_CHECKING:
    from submitit.helpers import DelayedSubmission


class InQueue:
    """What submitit pickles, and does in the job: the command, which ends before a requeue."""

    def __init__(self, words: Sequence[str], environment: Mapping[str, str]) -> None:
        self.words = list(words)
        self.environment = dict(environment)

    def __call__(self) -> None:
        environment = {**os.environ, **self.environment}
        self.process = subprocess.Popen(self.words, env=environment, preexec_fn=_ignore_notice)
        try:
            wait_for(self.process)
        except Stopped as stop:  # by Slurm, which then queues the job again or ends it
            raise SystemExit(stop.exit_code) from None

    def checkpoint(self) -> "DelayedSubmission":
        """What submitit puts into the queue when the time is up: the same, once this has ended."""
        from submitit.helpers import DelayedSubmission

        end(self.process, signal.SIGTERM)
        return DelayedSubmission(InQueue(self.words, self.environment))


def _ignore_notice() -> None:
    """In the command, which Slurm signals as well when its time is nearly up: submitit ends it."""
    signal.signal(signal.SIGUSR2, signal.SIG_IGN)
