"""Signals: the first ends a run between two batches, the second ends the process at once."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import pytorch_lightning as pl
import torch
from torch.utils.data import DataLoader

from ghostexp.training import stopping
from ghostexp.training.callbacks import PartialCheckpoint, StopAfterBatch
from ghostexp.training.stopping import Stopped, Stopping


def no_kill(signum):
    raise AssertionError("the process would have ended")


@pytest.fixture(autouse=True)
def handlers():
    """Python's own handlers, whatever a shell left to this process, and they come back."""
    earlier = {n: signal.signal(n, signal.default_int_handler) for n in stopping.SIGNALS}
    yield
    assert all(signal.getsignal(n) is signal.default_int_handler for n in stopping.SIGNALS)
    assert not stopping.requested()
    for signum, handler in earlier.items():
        signal.signal(signum, handler)


def send(signum):
    os.kill(os.getpid(), signum)


@pytest.mark.parametrize(("signum", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_between_loops_ends_the_run_at_once(signum, code):
    with pytest.raises(Stopped) as stop, Stopping(no_kill):
        send(signum)
    assert stop.value.exit_code == code


def test_a_deferred_signal_is_said_and_raised_where_the_block_ends(capfd):
    done = []

    def run():
        with stopping.deferred():
            send(signal.SIGINT)
            done.append("the block")
        done.append("not this")

    with pytest.raises(Stopped), Stopping(no_kill):
        run()
    assert done == ["the block"]
    said = capfd.readouterr().err
    assert said.strip() == (
        "Ctrl-C: this run ends after its current batch; once more ends it at once"
    )


def test_a_signal_that_nobody_checked_is_raised_where_the_run_ends():
    def run():
        with Stopping(no_kill):
            stopping.defer()
            send(signal.SIGTERM)

    with pytest.raises(Stopped):
        run()


def test_an_error_is_not_hidden_by_a_noted_signal():
    def run():
        with Stopping(no_kill):
            stopping.defer()
            send(signal.SIGTERM)
            raise KeyError

    with pytest.raises(KeyError):
        run()


def test_a_signal_that_the_process_was_started_to_ignore_stays_ignored():
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with Stopping(no_kill):
        send(signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    signal.signal(signal.SIGINT, signal.default_int_handler)


def test_a_child_of_a_fork_takes_a_signal_as_before():
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    with Stopping(no_kill):
        child = os.fork()
        if child == 0:
            os.kill(os.getpid(), signal.SIGTERM)
            os._exit(0)
        _, status = os.waitpid(child, 0)
    assert os.WTERMSIG(status) == signal.SIGTERM
    signal.signal(signal.SIGTERM, signal.default_int_handler)


SECOND = """
import os, signal, threading, time
from pathlib import Path
from ghostexp.training import stopping

threading.Thread(target=time.sleep, args=(3600,)).start()  # as a writer thread that waits forever
record = Path("record")
with stopping.Stopping(lambda signum: record.write_text(str(signum))):
    with stopping.deferred():
        os.kill(os.getpid(), signal.SIGTERM)
        assert not record.exists()
        os.kill(os.getpid(), signal.SIGINT)
        record.write_text("not reached")
"""


def test_the_second_signal_writes_the_record_and_waits_for_nothing(tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", SECOND],
        cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
        capture_output=True, text=True, timeout=20,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )  # fmt: skip
    assert done.returncode == 130, done.stderr
    assert (tmp_path / "record").read_text() == "2"
    assert "SIGTERM: this run ends after its current batch" in done.stderr
    assert "ended at once" in done.stderr


class Counting(pl.LightningModule):
    """Sends itself a signal within a batch of one of its loops, and counts the batches."""

    def __init__(self, loop: str) -> None:
        super().__init__()
        self.layer = torch.nn.Linear(1, 1)
        self.loop = loop
        self.done: list[str] = []

    def _step(self, loop: str, batch: torch.Tensor, index: int) -> torch.Tensor:
        if loop == self.loop and index == 1:
            send(signal.SIGTERM)
        self.done.append(loop)
        return self.layer(batch).sum()

    def training_step(self, batch, index):
        return self._step("fit", batch, index)

    def validation_step(self, batch, index):
        self._step("validate", batch, index)

    def test_step(self, batch, index):
        self._step("test", batch, index)

    def predict_step(self, batch, index):
        return self._step("predict", batch, index)

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.1)


def trainer(folder, *callbacks, **options):
    return pl.Trainer(
        default_root_dir=folder,
        accelerator="cpu",
        max_epochs=1,
        num_sanity_val_steps=0,
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        callbacks=[StopAfterBatch(), *callbacks],
        **options,
    )


LOADER = DataLoader(torch.ones(12, 1), batch_size=2)


@pytest.mark.filterwarnings("ignore:.*does not have many workers")
@pytest.mark.parametrize("slurm", [False, True], ids=["", "slurm"])
@pytest.mark.parametrize("loop", ["fit", "validate", "test", "predict"])
def test_every_loop_ends_after_the_batch_whatever_lightning_installs(
    tmp_path, monkeypatch, loop, slurm
):
    if slurm:  # Lightning then bypasses SIGTERM, in favour of SLURM's own signal
        for name, value in {"NTASKS": "1", "JOB_ID": "7", "JOB_NAME": "job"}.items():
            monkeypatch.setenv(f"SLURM_{name}", value)
    module = Counting(loop)
    run = getattr(trainer(tmp_path, enable_checkpointing=False), loop)
    loaders = [LOADER] * (2 if loop == "fit" else 1)
    with pytest.raises(Stopped) as stop, Stopping(no_kill):
        run(module, *loaders)
    assert stop.value.exit_code == 143
    assert module.done == [loop] * 2


@pytest.mark.filterwarnings("ignore:.*does not have many workers")
def test_a_training_ends_where_the_gradients_are_used(tmp_path):
    module = Counting("fit")
    partial = PartialCheckpoint(str(tmp_path / "partial.ckpt"))
    with pytest.raises(Stopped), Stopping(no_kill):
        trainer(tmp_path, partial, accumulate_grad_batches=3).fit(module, LOADER, LOADER)
    assert module.done == ["fit"] * 3
    saved = torch.load(tmp_path / "partial.ckpt", weights_only=True)
    assert saved["global_step"] == 1
    assert torch.equal(saved["state_dict"]["layer.weight"], module.layer.weight.data)


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"every_minutes": 0}, "every_minutes is a number above 0, or null, not 0"),
        ({"every_n_steps": 1.5}, "every_n_steps is a whole number of at least 1, or null, not 1.5"),
    ],
)
def test_wrong_intervals_are_refused(values, sentence):
    with pytest.raises(ValueError, match=sentence):
        PartialCheckpoint("partial.ckpt", **values)
