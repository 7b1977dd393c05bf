"""One line where other processes take the CPUs, and none for anything else that is slow."""

from types import SimpleNamespace

import pytest
import torch

from ghostexp.training.callbacks import SlowSteps, slow_steps

MODULE = SimpleNamespace(device=torch.device("cpu"))


class Machine:
    """A clock, and Linux's count of the time that a thread waits for a CPU."""

    def __init__(self, monkeypatch, tmp_path, threads=2):
        self.now = self.waited = 0.0
        self.schedstat = tmp_path / "schedstat"
        monkeypatch.setattr("time.perf_counter", lambda: self.now)
        monkeypatch.setattr(slow_steps, "SCHEDSTAT", self.schedstat)
        monkeypatch.setattr(torch, "get_num_threads", lambda: threads)
        self.spend(0, 0)

    def spend(self, seconds, waiting):
        self.now += seconds
        self.waited += waiting
        self.schedstat.write_text(f"{int(self.now * 1e9)} {int(self.waited * 1e9)} 17\n")

    def train(self, callback, steps, seconds, waiting, between=(0, 0)):
        for index in range(steps):
            callback.on_train_batch_start(None, MODULE, None, index)
            self.spend(seconds, waiting)
            callback.on_train_batch_end(None, MODULE, None, None, index)
            self.spend(*between)


@pytest.fixture
def machine(monkeypatch, tmp_path):
    return Machine(monkeypatch, tmp_path)


def test_a_busy_machine_is_told_of_once(machine, caplog):
    callback = SlowSteps()
    machine.train(callback, 10, 5.0, 2.5)  # as measured beside a second training
    (said,) = caplog.messages
    assert "a thread of this run had no CPU for 50 % of the time" in said
    assert "each of the 2 threads" in said
    assert "OMP_NUM_THREADS=1" in said


@pytest.mark.parametrize(
    ("seconds", "waiting", "between", "steps"),
    [
        (5.0, 0.5, (0, 0), 20),  # a large network on a free machine
        (0.1, 0.01, (30, 25), 200),  # validation and data take the time, not the steps
        (60.0, 50.0, (0, 0), 3),  # the first steps compile
        (0.5, 0.4, (0, 0), 10),  # less than ten seconds say nothing yet
    ],
)
def test_other_delays_are_not(machine, caplog, seconds, waiting, between, steps):
    machine.train(SlowSteps(), steps, seconds, waiting, between)
    assert caplog.messages == []


def test_one_thread_has_nothing_to_gain(monkeypatch, tmp_path, caplog):
    Machine(monkeypatch, tmp_path, threads=1).train(SlowSteps(), 20, 5.0, 4.0)
    assert caplog.messages == []


def test_a_system_that_counts_nothing_is_never_told_of(machine, caplog):
    machine.schedstat = machine.schedstat.with_name("elsewhere")
    (machine.schedstat.parent / "schedstat").unlink()
    machine.train(SlowSteps(), 20, 5.0, 4.0)
    assert caplog.messages == []


def test_linux_counts_as_the_callback_reads():
    if not slow_steps.SCHEDSTAT.exists():
        pytest.skip("no /proc here")
    _, waited, _ = map(int, slow_steps.SCHEDSTAT.read_text().split())
    assert slow_steps.seconds_without_cpu() >= waited / 1e9 >= 0
