"""What a run computes on: the name of the processor, and no more threads than are allowed."""

import logging

import pytest
import torch

from ghostexp.runs import machine


@pytest.fixture
def threads(monkeypatch):
    """torch takes three threads, and nobody has said how many it shall take."""
    before = torch.get_num_threads()
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    torch.set_num_threads(3)
    yield
    torch.set_num_threads(before)


@pytest.mark.usefixtures("threads")
@pytest.mark.parametrize(("allowed", "used"), [(2, 2), (3, 3), (64, 3)])
def test_threads_are_no_more_than_the_processors_allowed(monkeypatch, caplog, allowed, used):
    monkeypatch.setattr(machine, "cpu_count", lambda: allowed)
    with caplog.at_level(logging.INFO):
        machine.use_allowed_cores()
    assert torch.get_num_threads() == used
    assert ("2 threads, because" in caplog.text) is (allowed == 2)


@pytest.mark.usefixtures("threads")
def test_a_chosen_number_of_threads_stays(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    monkeypatch.setattr(machine, "cpu_count", lambda: 1)
    machine.use_allowed_cores()
    assert torch.get_num_threads() == 3


def test_a_run_asks(small_run, monkeypatch):
    asked = []
    monkeypatch.setattr("ghostexp.runs.experiment.use_allowed_cores", lambda: asked.append(1))
    small_run("trainer.max_epochs=1")
    assert asked == [1]
