"""Jobs in the queue of a Slurm cluster, by submitit: each is a command of its own.

Slurm may requeue a job, cancel it, end it when its time is up, or lose its node. Here the launch
waits until no job is in the queue any more, and then says of each how it ended. A launch that comes
after a dead one waits for the jobs which that one left in the queue, and submits the others.
"""

import logging
import shutil
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hydra.core.utils import JobReturn, JobStatus
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, OmegaConf

from ghostexp.config.explain import UserError
from ghostexp.files.atomic import write_text
from ghostexp.results.record import read_record
from ghostexp.sweeps.command import DoJob, job_words, starts_processes
from ghostexp.sweeps.decision import is_done
from ghostexp.sweeps.job import frozen_path, thaw
from ghostexp.sweeps.outcome import objective
from ghostexp.sweeps.slurm_job import InQueue
from ghostexp.training import stopping
from ghostexp.training.stopping import Stopped

if TYPE_CHECKING:
    from submitit import SlurmExecutor, SlurmJob

POLL_SECONDS = 2.0
LATE_SECONDS = 10.0  # that a network file system may take to show a job's result
# the other tasks of a job wait for a task that has failed, unless srun ends them
SEVERAL_TASKS = ["--kill-on-bad-exit=1"]

log = logging.getLogger(__name__)


class SlurmLauncher(Launcher):
    """Submits the jobs as one array, and waits for them.

    `max_num_timeout` is how often a job whose time is up is queued again by itself. `resources` are
    what submitit asks Slurm for: `partition`, `timeout_min`, `cpus_per_task` and so on.
    """

    def __init__(self, submitit_folder: str, max_num_timeout: int, **resources: Any) -> None:
        self.folder = submitit_folder
        self.max_num_timeout = max_num_timeout
        self.resources = resources

    def setup(
        self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig
    ) -> None:
        if shutil.which("srun") is None:
            raise UserError(
                "hydra/launcher=submitit_slurm needs Slurm's commands, which this machine does not"
                " have: start the sweep on a login node of the cluster"
            )
        self.loader = hydra_context.config_loader
        self.config = config
        assert isinstance(task_function, DoJob)  # our sweepers give no other
        self.do_job = task_function

    def launch(
        self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int
    ) -> Sequence[JobReturn]:
        """Submit the jobs that are not in the queue yet; wait for all, and say how they ended."""
        configs: dict[Path, DictConfig] = {}
        for overrides in job_overrides:
            composed = self.loader.load_sweep_config(self.config, list(overrides))
            self._check_tasks(composed.trainer)
            configs[_directory(composed)] = composed
        to_do = {
            folder: each
            for folder, each in configs.items()
            if not is_done(thaw(frozen_path(folder)))
        }
        if skipped := len(configs) - len(to_do):
            log.info("%d of %d jobs finished already: not submitted", skipped, len(configs))
        jobs = self._left_in_queue(list(to_do))
        jobs |= self._submit({f: each for f, each in to_do.items() if f not in jobs})
        self._wait([job.job_id for job in jobs.values()])
        return [_ended(jobs.get(folder), folder) for folder in configs]

    def plan(self, count: int) -> str:
        """The batch file of an array of `count` jobs."""
        executor = self._executor()
        if count > 1:
            executor.parameters["map_count"] = count  # as submitit 1.5 does for an array
        return executor._make_submission_file_text(executor._submitit_command_str, "")

    def _submit(self, configs: dict[Path, DictConfig]) -> dict[Path, "SlurmJob"]:
        if not configs:
            return {}
        commands = []
        for folder, composed in configs.items():
            words = job_words(self.do_job.program, folder, self.do_job.granted)
            environment = OmegaConf.to_container(composed.hydra.job.env_set, resolve=True)
            commands.append(InQueue(words, environment))
        jobs = dict(zip(configs, self._executor().submit_array(commands), strict=True))
        for folder, job in jobs.items():
            write_text(_note(folder), job.job_id)
        numbers = " ".join(_arrays([job.job_id for job in jobs.values()]))
        log.info("submitted to Slurm as %s; jobs: %d", numbers, len(jobs))
        return jobs

    def _executor(self) -> "SlurmExecutor":
        import submitit

        executor = submitit.SlurmExecutor(self.folder, max_num_timeout=self.max_num_timeout)
        resources = {key: value for key, value in self.resources.items() if value is not None}
        names = {"name": "job_name", "timeout_min": "time", "tasks_per_node": "ntasks_per_node"}
        given = {names.get(key, key): value for key, value in resources.items()}
        if "mem_gb" in given:
            given["mem"] = f"{given.pop('mem_gb')}GB"
        if self._tasks > 1:
            given["srun_args"] = [*given.get("srun_args", []), *SEVERAL_TASKS]
        try:
            executor.update_parameters(**given)
        except ValueError as error:
            raise UserError(f"hydra.launcher: {' '.join(str(error).split())}") from error
        return executor

    @property
    def _tasks(self) -> int:
        return self.resources["nodes"] * self.resources["tasks_per_node"]

    def _check_tasks(self, trainer: DictConfig) -> None:
        """Refuse a job whose processes Slurm would not start: Lightning starts none beside it."""
        wanted = (trainer.get("num_nodes", 1), trainer.devices)
        given = (self.resources["nodes"], self.resources["tasks_per_node"])
        several = self._tasks > 1 or starts_processes(trainer)
        if several and isinstance(trainer.devices, int) and wanted != given:
            raise UserError(
                f"a run with trainer.num_nodes={wanted[0]} trainer.devices={wanted[1]} needs"
                f" hydra.launcher.nodes={wanted[0]} hydra.launcher.tasks_per_node={wanted[1]},"
                f" not nodes={given[0]} tasks_per_node={given[1]}: Slurm starts its processes"
            )

    def _left_in_queue(self, folders: list[Path]) -> dict[Path, "SlurmJob"]:
        """Jobs that an earlier launch submitted for these folders, and that are not over yet."""
        import submitit

        waiting = set(_in_queue())
        numbers = {each: _note(each).read_text() for each in folders if _note(each).exists()}
        left = {each: number for each, number in numbers.items() if number in waiting}
        if left:
            log.info("an earlier launch has left jobs in Slurm's queue: %d", len(left))
        tasks = list(range(self._tasks))
        return {
            each: submitit.SlurmJob(folder=self.folder, job_id=number, tasks=tasks)
            for each, number in left.items()
        }

    def _wait(self, numbers: list[str]) -> None:
        try:
            while set(numbers) & set(_in_queue()):
                stopping.check()
                time.sleep(POLL_SECONDS)
        except Stopped:
            log.warning(
                "the jobs stay in Slurm's queue: the same command waits for them, and scancel %s"
                " ends them",
                " ".join(_arrays(numbers)),
            )
            raise


def _arrays(numbers: list[str]) -> list[str]:
    """Numbers of the arrays that jobs belong to: `12` for `12_0`."""
    return sorted({number.partition("_")[0] for number in numbers})


def _directory(composed: DictConfig) -> Path:
    return Path(composed.hydra.sweep.dir) / composed.hydra.sweep.subdir


def _note(folder: Path) -> Path:
    """File with the number of the job in Slurm's queue, beside the frozen job."""
    return frozen_path(folder).with_suffix(".slurm")


def _in_queue() -> list[str]:
    """Numbers of this user's jobs that run, or wait to run (again)."""
    while True:
        asked = subprocess.run(
            ["squeue", "--me", "--noheader", "--array", "--format=%i"],
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        if asked.returncode == 0:
            return asked.stdout.split()
        log.warning("squeue: %s", asked.stderr.strip())  # the controller may be restarting
        stopping.check()
        time.sleep(10 * POLL_SECONDS)


def _ended(job: "SlurmJob | None", folder: Path) -> JobReturn:
    """How a job ended that is in the queue no more; None for one that had nothing to do."""
    returned = JobReturn(status=JobStatus.FAILED)
    if job is not None:
        task = job.task(0)
        _wait_for_file(task.paths.result_pickle)
        if not task.paths.result_pickle.exists():
            log.error("%s: Slurm ended job %s; see %s", folder.name, job.job_id, task.paths.stderr)
            returned.return_value = UserError(f"Slurm ended job {job.job_id}")
            return returned
        if error := task.exception():
            returned.return_value = error
            return returned
    returned.status = JobStatus.COMPLETED
    returned.return_value = objective(read_record(folder) or {"metrics": {}})
    return returned


def _wait_for_file(path: Path) -> None:
    """Give a network file system the time to show a file, which may never come."""
    deadline = time.monotonic() + LATE_SECONDS
    while not path.exists() and time.monotonic() < deadline:
        time.sleep(POLL_SECONDS)
