"""GPUs are shared out: no job gets one that another job holds."""

from contextlib import ExitStack

import pytest
from omegaconf import OmegaConf

from ghostexp.config.explain import UserError
from ghostexp.sweeps import devices
from ghostexp.sweeps.devices import gpus_of_this_machine, own_gpus


@pytest.fixture(autouse=True)
def _own_folder(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.gettempdir", lambda: str(tmp_path))


def visible(environment):
    return environment["CUDA_VISIBLE_DEVICES"].split(",")


def test_jobs_at_work_at_once_have_different_gpus(monkeypatch):
    gpus = ["0", "1", "2"]
    waited = []
    with ExitStack() as first:
        assert visible(first.enter_context(own_gpus(gpus, 2))) == ["0", "1"]
        with own_gpus(gpus, 1) as second:
            assert visible(second) == ["2"]

        def end_the_first(seconds):
            waited.append(seconds)
            first.close()

        monkeypatch.setattr(devices.time, "sleep", end_the_first)
        with own_gpus(gpus, "auto") as third:
            assert visible(third) == gpus
    assert waited == [devices.POLL_SECONDS]


def test_more_gpus_than_there_are_are_refused():
    with pytest.raises(UserError, match="trainer.devices=3 is more than the 2 GPUs"):
        own_gpus(["0", "1"], 3).__enter__()


@pytest.mark.parametrize(
    ("trainer", "environment", "gpus"),
    [
        ({"accelerator": "auto", "devices": 1}, "", ["0", "1", "2", "3"]),
        ({"accelerator": "gpu", "devices": 2}, "5,GPU-abc,7,8", ["5", "GPU-abc", "7", "8"]),
        ({"accelerator": "cpu", "devices": 2}, "", []),
        ({"accelerator": "auto", "devices": [1]}, "", []),  # the user has chosen
    ],
)
def test_which_gpus_are_shared_out(monkeypatch, trainer, environment, gpus):
    monkeypatch.setattr("torch.cuda.device_count", lambda: 4)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", environment)
    assert gpus_of_this_machine(OmegaConf.create(trainer)) == gpus
    monkeypatch.setattr("torch.cuda.device_count", lambda: 1)
    assert gpus_of_this_machine(OmegaConf.create(trainer)) == []
