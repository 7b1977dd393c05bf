"""A job as a command of its own, which the processes of several devices repeat."""

import os
import subprocess
import sys

import pytest
from helpers import ROOT, SMALL, assert_same_weights, result
from omegaconf import OmegaConf

from ghostexp.config.explain import UserError
from ghostexp.sweeps.command import job_words, run_command, starts_processes
from ghostexp.training.stopping import Stopped

# batch norm that keeps its first mean and variance: two processes then learn what one does
STILL = """
import pytorch_lightning as pl
from torch.nn import BatchNorm2d

class Still(pl.Callback):
    def on_train_batch_start(self, trainer, module, batch, index):
        for each in module.modules():
            if isinstance(each, BatchNorm2d):
                each.eval()
                each.running_var.fill_(25.0)  # else the maps grow from block to block
"""
RATIOS = (
    "model=ghost_resnet56", "model.ratio=2,4", "dataset.image_size=8",
    "dataset.augment.crop_padding=0", "optimizer.lr=0.0001", "trainer.precision=32-true",
    "trainer.accelerator=cpu", "trainer.max_epochs=2", "trainer.log_every_n_steps=1",
    "dataset.val_split=0.1", "callbacks.progress=null", "callbacks.summary=null",
    "callbacks.pictures=null", "allow_targets=[still]", "+callbacks.still._target_=still.Still",
)  # fmt: skip
TOGETHER = (
    "trainer=ddp", "trainer.devices=2", "dataset.batch_size=16", "trainer.limit_train_batches=3"
)  # fmt: skip
ALONE = ("dataset.batch_size=32", "trainer.limit_train_batches=3")


def train(folder, *arguments):
    """train.py as a user starts it; its exit code and output."""
    environment = {**os.environ, "PYTHONPATH": f"{folder}:{ROOT}"}
    done = subprocess.run(
        [sys.executable, ROOT / "train.py", *arguments],
        capture_output=True, text=True, cwd=folder, env=environment, timeout=1200,
    )  # fmt: skip
    return done.returncode, done.stdout + done.stderr


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Where sweeps of this module are made, one job of two processes after the other at first."""
    folder = tmp_path_factory.mktemp("sweeps")
    (folder / "still.py").write_text(STILL)
    code, said = train(folder, "-m", *RATIOS, *TOGETHER, "name=together")
    assert code == 0, said
    for number in (1, 2):
        assert said.count(f"job {number} of 2: ") == 2  # at its start and at its end
    return folder


@pytest.mark.extras
def test_a_sweep_over_jobs_of_two_processes_learns_what_one_process_does(folder):
    code, said = train(folder, "-m", *RATIOS, *ALONE, "name=alone")
    assert code == 0, said
    for ratio in (2, 4):
        one, other = (
            folder / "outputs" / n / f"model.ratio={ratio}" for n in ("together", "alone")
        )
        together, alone = result(one), result(other)
        assert together["device"].endswith("2 processes of 1 thread")
        assert (together["status"], together["epochs"]) == ("finished", 2)
        assert together["metrics"]["train/loss"] < 10
        for key, value in alone["metrics"].items():
            if "seconds" not in key and "images" not in key:
                assert together["metrics"][key] == pytest.approx(value, rel=1e-4), key
        assert together["swept"] == {"model.ratio": ratio}
        assert len(list(one.rglob("metrics.csv"))) == 1


@pytest.mark.extras
def test_jobs_of_two_processes_run_side_by_side(folder):
    pytest.importorskip("hydra_plugins.hydra_joblib_launcher")
    side_by_side = ("hydra/launcher=joblib", "hydra.launcher.n_jobs=2", "name=joblib")
    code, said = train(folder, "-m", *RATIOS, *TOGETHER, *side_by_side)
    assert code == 0, said
    jobs = [f"model.ratio={ratio}" for ratio in (2, 4)]
    for job in jobs:
        assert_same_weights(folder / "outputs/joblib" / job, folder / "outputs/together" / job)
    first, second = (result(folder / "outputs/joblib" / job) for job in jobs)
    assert first["started"] < second["ended"]
    assert second["started"] < first["ended"]


@pytest.mark.extras
def test_the_command_of_a_job_goes_on_with_it_and_skips_it_when_it_is_finished(folder):
    frozen = "outputs/together/.sweep/model.ratio=2.yaml"
    before = result(folder / "outputs/together/model.ratio=2")
    code, said = train(folder, "--job", frozen, "allow_targets=[still]")
    assert (code, said.count("finished already: skipped")) == (0, 1), said
    assert result(folder / "outputs/together/model.ratio=2") == before


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--job"], "--job FILE does one job"),
        (["--job", "x.yaml", "seed=1"], "not --job x.yaml seed=1"),
        (["--job", "x.yaml"], "x.yaml cannot be read"),
        (["--job", "list.yaml"], "list.yaml is no job of a sweep"),
        (["--job", "broken.yaml"], "this is no YAML"),
    ],
)
def test_what_is_no_frozen_job_is_refused(app, tmp_path, capfd, arguments, sentence):
    (tmp_path / "list.yaml").write_text("- 1\n")
    (tmp_path / "broken.yaml").write_text("a: [\n")
    assert app(*arguments) == 1
    said = "".join(capfd.readouterr())
    assert sentence in said
    assert "Traceback" not in said


def test_a_frozen_job_may_not_grant_a_package(app, tmp_path, capfd):
    assert app("-m", *SMALL, "trainer.max_epochs=1", "seed=0,1") == 0
    frozen = tmp_path / "outputs/train/.sweep/seed=0.yaml"
    text = frozen.read_text().replace("_target_: torch.optim.SGD", "_target_: os.system")
    frozen.write_text(text.replace("allow_targets: []", "allow_targets: [os]"))
    assert app("--job", str(frozen)) == 1
    assert "os.system" in "".join(capfd.readouterr())


@pytest.mark.parametrize(
    ("trainer", "starts"),
    [
        ({"devices": 1}, False),
        ({"devices": [3]}, False),
        ({"devices": 1, "strategy": "auto"}, False),
        ({"devices": 2, "strategy": "ddp_spawn"}, False),
        ({"devices": 2}, True),
        ({"devices": "auto"}, True),
        ({"devices": [0, 1]}, True),
        ({"devices": 1, "strategy": "ddp", "num_nodes": 2}, True),
    ],
)
def test_which_jobs_need_a_command_of_their_own(trainer, starts):
    assert starts_processes(OmegaConf.create(trainer)) == starts


def test_the_command_names_the_frozen_job_and_what_was_granted(tmp_path):
    frozen = str(tmp_path / ".sweep" / "a.b=0.1.yaml")
    command = [sys.executable, "train.py", "--job", frozen]
    assert job_words("train.py", tmp_path / "a.b=0.1", ()) == command
    granted = job_words("train.py", tmp_path / "a.b=0.1", ("mine", "theirs"))
    assert granted == [*command, "allow_targets=[mine,theirs]"]


@pytest.mark.parametrize(
    ("program", "raised", "message"),
    [
        ("raise SystemExit(1)", UserError, "exit code 1"),
        ("raise SystemExit(143)", Stopped, "SIGTERM"),
        ("import os; os.kill(os.getpid(), 9)", UserError, "killed by SIGKILL"),
        ("import os; assert os.environ['MINE'] == '3'", None, None),
    ],
)
def test_how_a_command_ended_is_told(program, raised, message):
    words = [sys.executable, "-c", program]
    if raised is None:
        run_command(words, {"MINE": "3"})
    else:
        with pytest.raises(raised, match=message):
            run_command(words, {})
