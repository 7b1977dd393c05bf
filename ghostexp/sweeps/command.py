"""How a launcher does a job: in its own process, or by a command of the job's own.

    python train.py --job outputs/ratios/.sweep/model.ratio=2.yaml

Lightning starts the further processes of a run by repeating the command line of the first. A job
that needs several processes is therefore a command of its own, which they can repeat: it does this
one job, with its own devices and its own port.
"""

import logging
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from signal import SIGINT, SIGTERM, Signals
from typing import Any

from hydra.conf import HydraConf
from hydra.core.hydra_config import HydraConfig
from hydra.types import TaskFunction
from omegaconf import DictConfig, ListConfig

from ghostexp.config import grants
from ghostexp.config.explain import UserError
from ghostexp.results.record import read_record
from ghostexp.sweeps.devices import gpus_of_this_machine, own_gpus
from ghostexp.sweeps.job import frozen_path
from ghostexp.sweeps.outcome import objective
from ghostexp.sweeps.side_by_side import in_worker
from ghostexp.sweeps.workers import shares_this_machine
from ghostexp.training.stopping import Stopped

OPTION = "--job"

log = logging.getLogger(__name__)


class DoJob:
    """What does a job, also in another process: it knows what the launch was told and where."""

    def __init__(self, task_function: TaskFunction) -> None:
        self.task_function = task_function
        self.granted = grants.granted()
        self.folder = os.getcwd()
        self.program = os.path.abspath(sys.argv[0])

    def __call__(self, cfg: DictConfig) -> Any:
        os.chdir(self.folder)  # a worker of Ray may have been started elsewhere
        hydra = HydraConfig.get()
        if shares_this_machine(hydra.launcher):
            return in_worker(lambda: self._do(cfg, hydra))
        return self._do(cfg, hydra)

    def _do(self, cfg: DictConfig, hydra: HydraConf) -> Any:
        gpus = gpus_of_this_machine(cfg.trainer) if shares_this_machine(hydra.launcher) else []
        if not gpus and not starts_processes(cfg.trainer):
            grants.grant(self.granted)
            return self.task_function(cfg)
        directory = Path(hydra.runtime.output_dir)
        words = job_words(self.program, directory, self.granted)
        with ExitStack() as stack:
            environment = stack.enter_context(own_gpus(gpus, cfg.trainer.devices)) if gpus else {}
            run_command(words, environment)
        return objective(read_record(directory) or {"metrics": {}})


def starts_processes(trainer: DictConfig) -> bool:
    """Whether a run with this config may start further processes by repeating its command line."""
    strategy = str(trainer.get("strategy") or "auto")
    if "spawn" in strategy or "fork" in strategy:
        return False
    devices = trainer.get("devices")
    one = devices in (1, "1") or (isinstance(devices, ListConfig) and len(devices) == 1)
    return strategy not in ("auto", "single_device") or not one


def job_words(program: str, directory: Path, granted: Sequence[str]) -> list[str]:
    """The command line that does the frozen job of a folder."""
    words = [sys.executable, program, OPTION, str(frozen_path(directory))]
    return [*words, f"{grants.KEY}=[{','.join(granted)}]"] if granted else words


def run_command(words: list[str], environment: Mapping[str, str]) -> None:
    """Do a job by its command, and wait for it; see `wait_for`."""
    wait_for(subprocess.Popen(words, env={**os.environ, **environment}))


def wait_for(process: subprocess.Popen) -> None:
    """Wait for a job's command, which says itself what goes wrong; `UserError` if it fails.

    A signal that ends this process ends the command too, after its batch.
    """
    try:
        code = process.wait()
    except BaseException as error:
        end(process, error.signum if isinstance(error, Stopped) else SIGINT)
        raise
    if code in (128 + SIGINT, 128 + SIGTERM):
        raise Stopped(code - 128)
    if code < 0:
        raise UserError(f"the job's process was killed by {Signals(-code).name}")
    if code > 0:
        raise UserError(f"the job's process ended with exit code {code}")


def end(process: subprocess.Popen, signum: int) -> None:
    """Let a job end after its batch. A terminal sends the same signal, and the two count as one.

    This may be called by the handler of a signal that came while `process.wait` held its lock.
    """
    process.send_signal(signum)
    with suppress(ChildProcessError):  # which has been waited for already
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
