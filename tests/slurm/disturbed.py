"""Nine jobs through a Slurm of this machine, with every disturbance that a cluster knows.

    python tests/slurm/disturbed.py DIR    as root, with Debian's slurm-wlm and munge

Jobs are requeued, cancelled, run out of time and lose their node; then the launch itself is killed.
The same command goes on, and every weight equals that of a sweep which nobody disturbed. What is
printed is the transcript in docs/results/slurm.md.
"""

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))

from helpers import ROOT, assert_same_weights, result  # noqa: E402

sys.path.insert(0, str(HERE))

import cluster  # noqa: E402

# a job waits in its second epoch while the file `hold` is there, once, until it is disturbed
HOLD = """
import time
from pathlib import Path
import pytorch_lightning as pl
from ghostexp.training import stopping

class Hold(pl.Callback):
    def __init__(self, run_dir):
        self.mark = Path("held") / Path(run_dir).name

    def on_train_batch_end(self, trainer, module, outputs, batch, index):
        if trainer.global_step == 11 and Path("hold").exists() and not self.mark.exists():
            self.mark.parent.mkdir(exist_ok=True)
            self.mark.touch()
            while Path("hold").exists() and not stopping.requested():
                time.sleep(0.2)
"""
SWEEP = (
    "-m", "model=ghost_resnet56", "model.ratio=range(2,11)", "dataset.image_size=8",
    "dataset.batch_size=16", "trainer.max_epochs=3", "trainer.limit_train_batches=8",
    "trainer.accelerator=cpu", "callbacks.progress=null", "callbacks.summary=null",
    "callbacks.pictures=null", "allow_targets=[hold]", "+callbacks.hold._target_=hold.Hold",
    "+callbacks.hold.run_dir=${run_dir}",
)  # fmt: skip
SLURM = (
    "hydra/launcher=submitit_slurm", "hydra.launcher.gpus_per_node=null",
    "hydra.launcher.cpus_per_task=1", "hydra.launcher.mem_gb=1", "hydra.launcher.timeout_min=60",
    "hydra.launcher.array_parallelism=4", "hydra.launcher.signal_delay_s=20",
)  # fmt: skip
RATIOS = range(2, 11)


class Cluster:
    """The cluster of a folder, and the sweeps in the folder `work` below it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "slurm"
        self.work = folder / "work"
        self.began = time.monotonic()
        self.environment = {
            **os.environ,
            "SLURM_CONF": str(self.folder / "slurm.conf"),
            "PYTHONPATH": f"{self.work}:{ROOT}",
            "OMP_NUM_THREADS": "1",
            "COLUMNS": "100",
        }
        self.work.mkdir(parents=True)
        (self.work / "hold.py").write_text(HOLD)

    def say(self, text: str) -> None:
        """A line of the transcript, with the seconds since the beginning and no paths."""
        for line in text.replace(f"{self.work}/", "").replace(f"{ROOT}/", "").splitlines():
            print(f"[{time.monotonic() - self.began:4.0f} s] {line}", flush=True)

    def launch(self, *arguments: str) -> subprocess.Popen:
        """Start train.py in the background; its output goes to launch.log."""
        self.say(f"$ python train.py {' '.join(arguments)}")
        with (self.work / "launch.log").open("w") as log:
            return subprocess.Popen(
                [sys.executable, ROOT / "train.py", *arguments],
                stdout=log, stderr=log, cwd=self.work, env=self.environment,
            )  # fmt: skip

    def run(self, *words: str) -> str:
        """A command of Slurm, which the transcript shows."""
        self.say(f"$ {' '.join(words)}")
        done = subprocess.run(words, capture_output=True, text=True, env=self.environment)
        if said := done.stdout + done.stderr:
            self.say(said)
        return done.stdout

    def number(self, ratio: int) -> str:
        """The number of a job in Slurm's queue."""
        return (self.work / f"outputs/disturbed/.sweep/model.ratio={ratio}.slurm").read_text()

    def job(self, ratio: int) -> Path:
        return self.work / f"outputs/disturbed/model.ratio={ratio}"

    def status(self, ratio: int) -> str:
        path = self.job(ratio)
        return result(path)["status"] if (path / "result.json").exists() else "nothing"

    def said(self, ratio: int) -> str:
        """What submitit has written for a job."""
        number = self.number(ratio)
        log = self.work / f"outputs/disturbed/.submitit/{number}/{number}_0_log.out"
        return log.read_text()

    def is_held(self, ratio: int) -> bool:
        return (self.work / "held" / f"model.ratio={ratio}").exists()

    def wait(self, what: str, condition: Callable[[], bool], seconds: float = 900) -> None:
        """Wait until a condition holds, and say so."""
        deadline = time.monotonic() + seconds
        while not condition():
            if time.monotonic() > deadline:
                raise TimeoutError(what)
            time.sleep(0.5)
        self.say(f"# {what}")


def disturb(slurm: Cluster) -> None:
    """The first launch: four disturbances of jobs, then the launch itself is killed."""
    (slurm.work / "hold").touch()
    launch = slurm.launch(*SWEEP, *SLURM, "name=disturbed")
    slurm.wait("four jobs are in their second epoch", lambda: all(map(slurm.is_held, range(2, 6))))
    slurm.run("squeue", "--array", "--format=%.6i %.9T %.5M %.4N")
    slurm.run("scontrol", "requeue", slurm.number(2))
    slurm.run("scancel", slurm.number(3))
    slurm.run("scontrol", "update", f"jobid={slurm.number(4)}", "TimeLimit=2")
    for ratio, what in ((2, "requeued"), (3, "cancelled"), (4, "out of time")):
        slurm.wait(
            f"model.ratio={ratio}, which was {what}, has saved its state and ended",
            lambda ratio=ratio: slurm.status(ratio) != "running" or len(segments(slurm, ratio)) > 1,
        )
    slurm.wait("model.ratio=4 is in the queue again", lambda: "Requeued job" in slurm.said(4))
    node = slurm.run("squeue", "--noheader", f"--jobs={slurm.number(5)}", "--format=%N").strip()
    slurm.say(f"# power cut: the slurmd of {node}, its steps and all processes of its jobs die")
    cluster.kill_node(slurm.folder, node)
    slurm.wait(f"Slurm has noticed that {node} is gone", lambda: is_down(slurm, node))
    slurm.run("sinfo", "--Node", "--noheader", "--format=%N %T")
    slurm.say("# the launch is killed (signal 9); the jobs stay in the queue")
    launch.kill()
    launch.wait()
    slurm.run("squeue", "--array", "--format=%.6i %.9T %.5M %.4N %R")
    (slurm.work / "hold").unlink()
    cluster.start_node(slurm.folder, node)


def is_down(slurm: Cluster, node: str) -> bool:
    told = subprocess.run(
        ["sinfo", "--noheader", f"--nodes={node}", "--format=%T"],
        capture_output=True, text=True, env=slurm.environment,
    )  # fmt: skip
    return "down" in told.stdout


def segments(slurm: Cluster, ratio: int) -> list[dict]:
    path = slurm.job(ratio)
    return result(path)["segments"] if (path / "result.json").exists() else []


def finish(slurm: Cluster) -> None:
    """The same command again, until all nine jobs are finished; then an undisturbed sweep."""
    code = slurm.launch(*SWEEP, *SLURM, "name=disturbed").wait()
    slurm.say((slurm.work / "launch.log").read_text())
    slurm.say(f"# exit code {code}")
    assert code == 0
    code = slurm.launch(*SWEEP, "name=undisturbed").wait()
    slurm.say(f"# exit code {code}")
    assert code == 0


def compare(slurm: Cluster) -> None:
    """Every weight of the nine jobs is equal, and each job has one record."""
    for ratio in RATIOS:
        job = slurm.job(ratio)
        other = slurm.work / f"outputs/undisturbed/model.ratio={ratio}"
        assert_same_weights(job, other)
        record, alone = result(job), result(other)
        assert record["status"] == alone["status"] == "finished"
        assert record["metrics"]["test/acc"] == alone["metrics"]["test/acc"]
        launches = " + ".join(f"{s['wall_s']:.0f} s" for s in record["segments"])
        slurm.say(
            f"# model.ratio={ratio}: all weights equal, test accuracy"
            f" {100 * record['metrics']['test/acc']:.2f} % both; launches: {launches}"
        )


def main(folder: Path) -> None:
    """Start the cluster, disturb, go on, compare; the cluster ends with this process."""
    slurm = Cluster(folder.absolute())
    cluster.start(slurm.folder)
    try:
        disturb(slurm)
        finish(slurm)
        compare(slurm)
    finally:
        cluster.stop(slurm.folder)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
