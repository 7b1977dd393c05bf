"""The Slurm launcher without a cluster; tests/slurm runs it on a real one."""

import os
import signal
import sys
import threading
import time

import pytest
from omegaconf import OmegaConf

from ghostexp.config.explain import UserError
from ghostexp.sweeps import slurm
from ghostexp.sweeps.slurm import SlurmLauncher
from ghostexp.sweeps.slurm_job import InQueue

SAYS_WHY_IT_ENDS = """
import signal, sys, time
def end(signum, frame):
    open(sys.argv[1], "w").write(str(signum))
    sys.exit(128 + signum)
signal.signal(signal.SIGTERM, end)
open(sys.argv[1] + ".ready", "w")
time.sleep(60)
"""


def launcher(**resources):
    return SlurmLauncher("folder", 3, **{"nodes": 1, "tasks_per_node": 1, **resources})


@pytest.mark.parametrize(
    ("trainer", "resources", "needed"),
    [
        ({"devices": 1}, {}, None),
        ({"devices": 2, "strategy": "ddp"}, {"tasks_per_node": 2}, None),
        ({"devices": 4, "num_nodes": 2}, {"tasks_per_node": 4, "nodes": 2}, None),
        ({"devices": "auto", "strategy": "ddp"}, {"tasks_per_node": 2}, None),  # nobody knows yet
        ({"devices": 2, "strategy": "ddp"}, {}, "nodes=1 hydra.launcher.tasks_per_node=2"),
        ({"devices": 1}, {"tasks_per_node": 2}, "nodes=1 hydra.launcher.tasks_per_node=1"),
        ({"devices": 2, "num_nodes": 2}, {"tasks_per_node": 2}, "nodes=2"),
    ],
)
def test_a_run_needs_as_many_tasks_as_processes(trainer, resources, needed):
    check = launcher(**resources)._check_tasks
    if needed is None:
        check(OmegaConf.create(trainer))
    else:
        with pytest.raises(UserError, match=f"needs hydra.launcher.{needed}"):
            check(OmegaConf.create(trainer))


def test_a_controller_that_does_not_answer_is_asked_again(tmp_path, monkeypatch):
    squeue = tmp_path / "squeue"
    squeue.write_text(
        f"#!/bin/sh\nif [ -e {tmp_path}/asked ]; then echo 12_0; echo 12_3; exit 0; fi\n"
        f"touch {tmp_path}/asked; echo no controller >&2; exit 1\n"
    )
    squeue.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.setattr(slurm, "POLL_SECONDS", 0.01)
    assert slurm._in_queue() == ["12_0", "12_3"]


def test_numbers_of_arrays_are_named_once():
    assert slurm._arrays(["12_0", "12_10", "7"]) == ["12", "7"]


def test_a_job_whose_time_is_up_ends_by_sigterm_before_it_is_queued_again(tmp_path):
    pytest.importorskip("submitit")
    mark = tmp_path / "mark"
    job = InQueue([sys.executable, "-c", SAYS_WHY_IT_ENDS, str(mark)], {"MINE": "1"})

    def notice(signum, frame):  # as submitit's handler
        os.kill(job.process.pid, signal.SIGUSR2)  # Slurm tells every process of the job
        again = job.checkpoint()
        assert (again.function.words, again.function.environment) == (job.words, {"MINE": "1"})
        raise SystemExit(3)

    def when_ready():
        while not ((tmp_path / "mark.ready").exists() and hasattr(job, "process")):
            time.sleep(0.01)
        os.kill(os.getpid(), signal.SIGUSR2)

    earlier = signal.signal(signal.SIGUSR2, notice)
    threading.Thread(target=when_ready).start()
    with pytest.raises(SystemExit, match="3"):
        job()
    signal.signal(signal.SIGUSR2, earlier)
    assert mark.read_text() == str(int(signal.SIGTERM))
