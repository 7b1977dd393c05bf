"""Signals: the first ends a run between two batches, the second ends the process at once."""

import os
import pickle
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import pytorch_lightning as pl
import torch
from helpers import killed_at_the_end
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


class Dying:
    """A signal arrives while its destructor runs, from which Python lets no exception out."""

    def __del__(self):
        send(signal.SIGINT)
        len("the handler is called here at the latest")


def test_a_signal_within_a_destructor_is_noted_and_prints_no_trace(capfd):
    def dies_and_checks():
        Dying()
        assert stopping.requested()
        stopping.check()

    with pytest.raises(Stopped), Stopping(no_kill):
        dies_and_checks()
    assert "Traceback" not in capfd.readouterr().err


def test_other_exceptions_of_destructors_are_told_as_before(monkeypatch):
    told = []
    monkeypatch.setattr(sys, "unraisablehook", lambda lost: told.append(lost.exc_value))

    class Broken:
        def __del__(self):
            raise ValueError("of a destructor")

    with Stopping(no_kill):
        Broken()
    assert [str(each) for each in told] == ["of a destructor"]


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


def test_a_worker_can_send_the_exception_to_its_parent():
    stop = pickle.loads(pickle.dumps(Stopped(signal.SIGTERM)))
    assert (str(stop), stop.exit_code) == ("stopped by SIGTERM", 143)


def test_a_child_of_a_fork_takes_a_signal_as_before(capfd):
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    with Stopping(no_kill), stopping.deferred():
        for _ in range(2):
            child = os.fork()
            if child == 0:
                send(signal.SIGTERM)
                os._exit(0)
            _, status = os.waitpid(child, 0)
            assert os.WTERMSIG(status) == signal.SIGTERM
    assert capfd.readouterr().err == ""
    signal.signal(signal.SIGTERM, signal.default_int_handler)


SLOW = """
import hashlib, threading, time
from pathlib import Path
from ghostexp.training import stopping

threading.Thread(target=time.sleep, args=(3600,)).start()  # as a writer thread that waits forever
with stopping.Stopping(lambda signum: Path("record").write_text(str(signum))):
    with stopping.deferred():
        print("begun", flush=True)
        hashlib.pbkdf2_hmac("sha256", b"", b"", 2**31 - 1)  # as a long step: no handler is called
"""


@pytest.mark.parametrize(("last", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_the_second_signal_ends_a_long_step_and_waits_for_no_thread(tmp_path, last, code):
    process = subprocess.Popen(
        [sys.executable, "-c", SLOW],
        cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )  # fmt: skip
    with killed_at_the_end(process) as run:
        assert run.stdout.readline() == "begun\n"
        run.send_signal(signal.SIGTERM)
        said = [run.stderr.readline(), run.stderr.readline()]
        assert said[1].startswith("SIGTERM: this run ends after its current batch; once more")
        run.send_signal(signal.SIGTERM)  # `timeout` sends it to the process and to its group
        time.sleep(stopping.SAME_SECONDS + 0.1)
        assert run.poll() is None
        run.send_signal(last)
        assert run.wait(timeout=20) == code
        assert "ended at once" in run.stderr.read()
    assert (tmp_path / "record").read_text() == str(int(last))


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
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        callbacks=[StopAfterBatch(), *callbacks],
        **{"num_sanity_val_steps": 0, **options},
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
def test_the_validation_before_a_fit_ends_too(tmp_path):
    module = Counting("validate")
    with pytest.raises(Stopped), Stopping(no_kill):
        trainer(tmp_path, num_sanity_val_steps=3).fit(module, LOADER, LOADER)
    assert module.done == ["validate"] * 2


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
