"""Sweeps in other processes, and searches: the same rules as one job after the other."""

import os
import signal
import subprocess
import sys
import time
from importlib.util import find_spec

import psutil
import pytest
from helpers import ROOT, killed_at_the_end, result
from joblib import cpu_count
from omegaconf import OmegaConf

from ghostexp.results.wording import counted
from ghostexp.sweeps.outcome import objective
from ghostexp.sweeps.workers import EXTRAS, threads_of_a_job

TINY = ("model=linear", "dataset.image_size=8", "debug=fast")
LAUNCHERS = {
    "joblib": "hydra_joblib_launcher",
    "submitit_local": "hydra_submitit_launcher",
    "ray": "hydra_ray_launcher",
}
TARGETS = {
    "joblib": "hydra_plugins.hydra_joblib_launcher.joblib_launcher.JoblibLauncher",
    "local": "hydra_plugins.hydra_submitit_launcher.submitit_launcher.LocalLauncher",
    "slurm": "hydra_plugins.ghostexp.SlurmLauncher",
    "ray": "hydra_plugins.hydra_ray_launcher.ray_launcher.RayLauncher",
    "basic": "hydra._internal.core_plugins.basic_launcher.BasicLauncher",
}


def installed(plugin):
    try:
        return find_spec(f"hydra_plugins.{plugin}") is not None
    except ModuleNotFoundError:  # no plugin at all
        return False


def needs(plugin):
    reason = f"needs the extra: pip install 'ghostexp[{EXTRAS[plugin]}]'"
    return pytest.mark.skipif(not installed(plugin), reason=reason)


def train(folder, *arguments):
    """train.py as a user starts it, with all cores to divide; its exit code and output."""
    environment = {**os.environ, "PYTHONWARNINGS": "default", "RAY_USAGE_STATS_ENABLED": "0"}
    environment.pop("OMP_NUM_THREADS", None)
    done = subprocess.run(
        [sys.executable, ROOT / "train.py", *arguments],
        capture_output=True, text=True, cwd=folder, env=environment, timeout=300,
    )  # fmt: skip
    return done.returncode, done.stdout + done.stderr


HALF = max(1, cpu_count() // 2)  # of the cores, for each of two jobs


def follows_the_rules(record, seed, threads=HALF):
    """A job of two that were at work at once, in a process that is not this one."""
    assert (record["status"], record["seed"]) == ("finished", seed)
    assert record["swept"] == {"seed": seed}
    device = record["device"]
    assert device.endswith(f" {counted(threads, 'thread')}") or "cuda" in device
    assert record["pid"] != os.getpid()


@pytest.mark.extras
@pytest.mark.parametrize(
    "launcher", [pytest.param(k, marks=needs(v)) for k, v in LAUNCHERS.items() if k != "joblib"]
)
def test_a_sweep_in_other_processes_keeps_the_rules(tmp_path, launcher):
    command = ["-m", *TINY, f"hydra/launcher={launcher}", "seed=0,1"]
    if launcher == "submitit_local" and cpu_count() == 1:
        command.append("hydra.sweeper.max_batch_size=1")
    code, said = train(tmp_path, *command)
    assert code == 0, said
    assert "validated against ConfigStore" not in said
    folder = tmp_path / "outputs" / "train"
    before = {seed: result(folder / f"seed={seed}") for seed in (0, 1)}
    for seed, record in before.items():
        follows_the_rules(record, seed, 1 if launcher == "ray" else HALF)
        assert record["command"].endswith("seed=0,1")
        assert (folder / ".sweep" / f"seed={seed}.yaml").exists()


@pytest.mark.extras
@needs("hydra_joblib_launcher")
def test_in_other_processes_failures_stay_alone_and_finished_jobs_are_skipped(tmp_path):
    (tmp_path / "theirs.py").write_text(
        "import pytorch_lightning as pl\n"
        "class Fails(pl.Callback):\n"
        "    def __init__(self, seed): self.seed = seed\n"
        "    def on_train_start(self, trainer, module):\n"
        "        if self.seed: raise ValueError('made to fail')\n"
    )
    fails = "+callbacks={fails: {_target_: theirs.Fails, seed: ${seed}}}"
    allowed = "allow_targets=[theirs]"
    command = ["-m", *TINY, "hydra/launcher=joblib", "seed=0,1", fails, allowed]
    code, said = train(tmp_path, *command)
    assert code == 1
    assert said.count("made to fail") >= 1
    good, bad = (tmp_path / "outputs" / "train" / f"seed={seed}" for seed in (0, 1))
    before, failed = result(good), result(bad)
    assert (before["status"], failed["status"]) == ("finished", "failed")
    follows_the_rules(before, 0)
    code, said = train(tmp_path, *command)
    assert code == 1
    assert result(good) == before
    assert result(bad)["pid"] != failed["pid"]


def launcher_config(launcher, **values):
    return OmegaConf.create({"_target_": TARGETS[launcher], **values})


@pytest.mark.parametrize(
    ("launcher", "jobs", "cores", "threads"),
    [
        (launcher_config("basic"), 4, 8, None),
        (launcher_config("joblib", n_jobs=-1), 4, 8, 2),
        (launcher_config("joblib", n_jobs=3), 4, 8, 2),
        (launcher_config("joblib", n_jobs=2), 2, 2, 1),
        (launcher_config("local"), 4, 9, 2),
        (launcher_config("slurm", cpus_per_task=5), 4, 2, 5),
        (launcher_config("ray", ray={"remote": {"num_cpus": 3}}), 4, 8, 3),
    ],
)
def test_jobs_at_work_at_once_share_the_cores(monkeypatch, launcher, jobs, cores, threads):
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setattr("ghostexp.sweeps.workers.cpu_count", lambda: cores)
    monkeypatch.setattr("ghostexp.sweeps.workers.effective_n_jobs", lambda n: n if n > 0 else cores)
    assert threads_of_a_job(launcher, jobs) == threads
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    assert threads_of_a_job(launcher, jobs) == (None if threads is None else 1)


@pytest.mark.parametrize(
    ("launcher", "sentence"),
    [
        (launcher_config("joblib", n_jobs=3), "n_jobs=3 is more than the 2 cores"),
        (launcher_config("local"), "starts all 4 jobs at once, more than the 2 cores"),
    ],
)
def test_more_jobs_than_cores_are_refused(monkeypatch, launcher, sentence):
    monkeypatch.setattr("ghostexp.sweeps.workers.cpu_count", lambda: 2)
    with pytest.raises(ValueError, match=sentence):
        threads_of_a_job(launcher, 4)


@pytest.mark.parametrize(
    ("argument", "plugin"),
    [
        ("hydra/launcher=joblib", "hydra_joblib_launcher"),
        ("hydra/launcher=submitit_local", "hydra_submitit_launcher"),
        ("hydra/launcher=ray", "hydra_ray_launcher"),
    ],
)
def test_a_missing_extra_is_named(tmp_path, argument, plugin):
    """In a real environment without the extra: where it is installed there is nothing to see."""
    if installed(plugin):
        pytest.skip(f"{plugin} is installed")
    code, said = train(tmp_path, "-m", *TINY, argument, "seed=0,1")
    assert code == 1
    assert f"pip install 'ghostexp[{EXTRAS[plugin]}]'" in said
    assert "Traceback" not in said
    assert not (tmp_path / "outputs").exists()


def test_the_objective_is_the_validation_metric_of_the_selected_epoch():
    metrics = {"val/acc": 0.8, "test/acc": 0.7}
    assert objective({"metrics": metrics, "best": {"val/acc": 0.9}}) == 0.9
    assert objective({"metrics": metrics}) == 0.8
    assert objective({"metrics": {"test/acc": 0.7}}) is None


@pytest.mark.extras
@pytest.mark.parametrize(
    ("launcher", "seeds"),
    [
        pytest.param(
            ["joblib", "hydra.launcher.n_jobs=2"], "0,1,2", marks=needs("hydra_joblib_launcher")
        ),
        pytest.param(["submitit_local"], "0,1", marks=needs("hydra_submitit_launcher")),
    ],
    ids=["joblib", "submitit"],
)
def test_a_signal_to_the_launch_ends_each_job_after_its_batch(launcher, seeds, tmp_path):
    """The signal comes to the launch alone: it passes it on, and waits for what is saved."""
    words = ["-m", "model=resnet20", "dataset.image_size=8", "dataset.batch_size=8"]
    words += [f"hydra/launcher={launcher[0]}", *launcher[1:], f"seed={seeds}"]
    command = [sys.executable, ROOT / "train.py", *words, "trainer.max_epochs=100"]
    folders = [tmp_path / "outputs" / "train" / f"seed={seed}" for seed in range(3)]
    saved = [folder / "checkpoints" / "last.ckpt" for folder in folders[:2]]
    with killed_at_the_end(subprocess.Popen(command, cwd=tmp_path)) as process:
        while not all(path.exists() for path in saved):
            assert process.poll() is None
            time.sleep(0.05)
        below = psutil.Process(process.pid).children(recursive=True)
        process.terminate()
        assert process.wait(timeout=60) == 143
    for folder in folders[:2]:
        assert result(folder)["status"] == "interrupted"
        assert (folder / "checkpoints" / "partial.ckpt").exists()
    assert not (folders[2] / "result.json").exists()
    _, alive = psutil.wait_procs(below, timeout=10)
    assert not alive


@pytest.mark.extras
@needs("hydra_joblib_launcher")
def test_a_signal_to_all_processes_spares_a_job_beside_an_idle_process(tmp_path):
    """The first job is done, so that its process waits when the signal comes to the whole group."""
    words = ["-m", "model=resnet20", "dataset.image_size=96", "dataset.batch_size=64"]
    words += ["+trainer.limit_train_batches=2", "+trainer.limit_test_batches=1"]
    words += ["hydra/launcher=joblib", "hydra.launcher.n_jobs=2", "trainer.max_epochs=1,100"]
    command = [sys.executable, ROOT / "train.py", *words]
    short, long = (tmp_path / "outputs" / "train" / f"trainer.max_epochs={n}" for n in (1, 100))
    process = subprocess.Popen(command, cwd=tmp_path, start_new_session=True)
    with killed_at_the_end(process):
        while not (short / "result.json").exists() or result(short)["status"] != "finished":
            assert process.poll() is None
            time.sleep(0.05)
        time.sleep(1)  # for what a job does after its record
        os.killpg(process.pid, signal.SIGTERM)
        assert process.wait(timeout=60) == 143
    assert result(long)["status"] == "interrupted"
