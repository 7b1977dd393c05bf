"""A Slurm of two nodes on this machine, for tests.

    python tests/slurm/cluster.py start DIR    as root

It needs Debian's packages slurm-wlm and munge. The two nodes n1 and n2 are two slurmd processes of
one machine, with a port each. `export SLURM_CONF=DIR/slurm.conf` lets sbatch, squeue and the
launcher find the cluster; `python tests/slurm/cluster.py stop DIR` ends it. The names n1 and n2
must lead to this machine, because the processes of a run on two nodes meet there: `start` adds them
to /etc/hosts.
"""

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import psutil

PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "squeue")
NODES = {"n1": 17011, "n2": 17012}  # name -> port of its slurmd
CONFIG = """
ClusterName=ghostexp
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort=17010
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
CredType=cred/munge
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool-%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd-%n.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd-%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SwitchType=switch/none
MpiDefault=none
AccountingStorageType=accounting_storage/none
JobAcctGatherType=jobacct_gather/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
SlurmdParameters=config_overrides
ReturnToService=2
SlurmdTimeout=10
KillWait=10
MinJobAge=300
JobRequeue=1
SchedulerParameters=sched_interval=5,requeue_delay=5
{nodes}
PartitionName=main Nodes=ALL Default=YES MaxTime=INFINITE State=UP OverSubscribe=FORCE:8
"""


def can_start() -> bool:
    """Whether Slurm and munge are installed, and this process may start them."""
    return os.geteuid() == 0 and all(map(shutil.which, PROGRAMS))


def start(folder: Path) -> None:
    """Start munge, the controller and both nodes; their files and logs lie in `folder`."""
    (folder / "state").mkdir(parents=True)
    folder.chmod(0o755)
    nodes = "\n".join(
        f"NodeName={name} NodeHostname=localhost NodeAddr=127.0.0.1 Port={port} CPUs=4"
        " RealMemory=4000 State=UNKNOWN"
        for name, port in NODES.items()
    )
    text = CONFIG.format(folder=folder, host=socket.gethostname().split(".")[0], nodes=nodes)
    (folder / "slurm.conf").write_text(text)
    _name_nodes()
    _start_munge(folder)
    environment = {**os.environ, "SLURM_CONF": str(folder / "slurm.conf")}
    subprocess.run(["slurmctld"], env=environment, check=True)
    for name in NODES:
        start_node(folder, name)
    for _ in range(60):
        listed = subprocess.run(
            ["sinfo", "--noheader", "--format=%T %D"],
            env=environment, capture_output=True, text=True, check=False,
        )  # fmt: skip
        if listed.stdout.split() == ["idle", str(len(NODES))]:
            return
        time.sleep(0.5)
    raise RuntimeError(f"the nodes are not ready: {listed.stdout}{listed.stderr}; see {folder}")


def start_node(folder: Path, name: str) -> None:
    """Start the slurmd of a node."""
    (folder / f"spool-{name}").mkdir(exist_ok=True)
    environment = {**os.environ, "SLURM_CONF": str(folder / "slurm.conf")}
    subprocess.run(["slurmd", "-N", name], env=environment, check=True)


def kill_node(folder: Path, name: str) -> None:
    """End a node as a power cut does: its slurmd, the steps of its jobs and all their processes."""
    of_jobs = [p for p in psutil.process_iter() if _environment(p).get("SLURMD_NODENAME") == name]
    parents = {p.parent() for p in of_jobs}
    steps = [p for p in parents if p is not None and p.name() == "slurmstepd"]
    slurmd = psutil.Process(int((folder / f"slurmd-{name}.pid").read_text()))
    for process in [slurmd, *steps, *of_jobs]:  # whoever would report first
        _kill(process)


def stop(folder: Path) -> None:
    """End everything that `start` started, and the jobs."""
    for name in NODES:
        with suppress(psutil.NoSuchProcess, FileNotFoundError):
            kill_node(folder, name)
    for name in ("slurmctld.pid", "munged.pid"):
        if (folder / name).exists():
            _kill(psutil.Process(int((folder / name).read_text())))


def _start_munge(folder: Path) -> None:
    key = folder / "munge.key"
    key.write_bytes(os.urandom(128))
    key.chmod(0o400)
    subprocess.run(
        [
            "munged", "--force", f"--key-file={key}", f"--socket={folder}/munge.socket",
            f"--pid-file={folder}/munged.pid", f"--log-file={folder}/munged.log",
            f"--seed-file={folder}/munge.seed",
        ],
        check=True,
    )  # fmt: skip


def _name_nodes() -> None:
    hosts = Path("/etc/hosts")
    line = f"127.0.0.1 {' '.join(NODES)}\n"
    if line not in hosts.read_text():
        with hosts.open("a") as file:
            file.write(line)


def _environment(process: psutil.Process) -> dict[str, str]:
    try:
        return process.environ()
    except psutil.Error:  # it has ended, or is a zombie
        return {}


def _kill(process: psutil.Process) -> None:
    with suppress(psutil.NoSuchProcess):
        process.send_signal(signal.SIGKILL)


if __name__ == "__main__":
    {"start": start, "stop": stop}[sys.argv[1]](Path(sys.argv[2]).absolute())
