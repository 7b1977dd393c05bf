"""Sweeps through a real Slurm of two nodes, which runs where Slurm is installed and we are root."""

import os
import subprocess
import sys

import pytest
from helpers import ROOT, result
from slurm import cluster, disturbed

pytestmark = [
    pytest.mark.extras,
    pytest.mark.skipif(not cluster.can_start(), reason="needs slurm-wlm and munge, and root"),
]
TWO_TASKS = (
    "-m", *disturbed.SLURM, "hydra.launcher.tasks_per_node=2", "trainer=ddp",
    "trainer.accelerator=cpu", "model=linear", "dataset.image_size=8", "debug=fast", "seed=0,1",
)  # fmt: skip


@pytest.fixture
def slurm(tmp_path):
    """What starts train.py beside a cluster; its exit code and output."""
    cluster.start(tmp_path / "slurm")

    def train(*arguments):
        done = subprocess.run(
            [sys.executable, ROOT / "train.py", *arguments],
            capture_output=True, text=True, cwd=tmp_path, timeout=900,
            env={**os.environ, "SLURM_CONF": str(tmp_path / "slurm" / "slurm.conf")},
        )  # fmt: skip
        return done.returncode, done.stdout + done.stderr

    yield train
    cluster.stop(tmp_path / "slurm")


def test_disturbed_jobs_end_with_the_weights_of_undisturbed_ones(tmp_path):
    disturbed.main(tmp_path)


def test_slurm_starts_the_processes_of_a_job_which_leave_one_record(slurm, tmp_path):
    code, said = slurm(*TWO_TASKS)
    assert code == 0, said
    records = sorted(tmp_path.rglob("result.json"))
    assert [path.parent.name for path in records] == ["seed=0", "seed=1"]
    for record in map(result, (path.parent for path in records)):
        assert record["status"] == "finished"
        assert "2 processes" in record["device"]
        assert len(record["segments"]) == 1
        assert record["slurm_job"].endswith(".0")
    code, said = slurm(*TWO_TASKS)
    assert (code, "2 of 2 jobs finished already: not submitted" in said) == (0, True), said


def test_a_dry_run_shows_the_batch_file_and_submits_nothing(slurm, tmp_path):
    code, said = slurm("--dry-run", *TWO_TASKS, "hydra.launcher.partition=main")
    assert code == 0, said
    lines = said.splitlines()
    for line in (
        "#SBATCH --partition=main", "#SBATCH --array=0-1%2", "#SBATCH --ntasks-per-node=2",
        "#SBATCH --mem=1GB", "#SBATCH --time=60",
    ):  # fmt: skip
        assert line in lines
    assert any(line.endswith("/outputs/train/.sweep/seed=1.yaml") for line in lines)
    assert not (tmp_path / "outputs").exists()


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["trainer.devices=3"], "needs hydra.launcher.nodes=1 hydra.launcher.tasks_per_node=3"),
        (["hydra.launcher.partition=none"], "partition"),
        (["+hydra.launcher.nonsense=1"], "nonsense"),
    ],
)
def test_what_slurm_cannot_run_is_refused(slurm, tmp_path, arguments, sentence):
    code, said = slurm(*TWO_TASKS, *arguments)
    assert code == 1, said
    assert sentence in said
    assert "Traceback" not in said
    assert not list(tmp_path.rglob("result.json"))
