"""A run with our kernels decides once which layers they compute, also when it is killed."""

import json
import os
import shutil
import signal
import subprocess
import sys

import pytest
import torch
from helpers import ROOT, SMALL, assert_same_weights, result

from ghostexp.layers import fast_norm
from ghostexp.runs.run import Run

OVERRIDES = (*SMALL, "callbacks=fast", "trainer.max_epochs=3", "dataset.batch_size=32")
RECORD = "kernels.jsonl"


@pytest.fixture
def cache(monkeypatch, tmp_path):
    """An empty cache folder."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache"


def verdict(monkeypatch, *channels: int) -> None:
    """Measurements find that our kernels are faster for maps of these numbers of channels."""

    def time_both(ours, torchs, maps, *weights):
        return (1.0, 2.0) if maps.shape[1] in channels else (2.0, 1.0)

    monkeypatch.setattr(fast_norm, "time_both", time_both)


def run(app, tmp_path, name: str):
    assert app(*OVERRIDES, f"name={name}") == 0
    (folder,) = tmp_path.glob(f"outputs/{name}/*")
    return folder


def weights(folder) -> list[torch.Tensor]:
    state = torch.load(folder / "checkpoints" / "last.ckpt", weights_only=True)["state_dict"]
    return [value for key, value in sorted(state.items()) if key.endswith("weight")]


def start_and_kill(tmp_path) -> None:
    """A process of its own, which finds 16 channels to be faster, is killed in its third epoch."""
    command = [str(ROOT / "train.py"), *OVERRIDES, "name=killed"]
    code = (
        "import os, signal, sys\n"
        "from ghostexp.layers import fast_norm\n"
        "from ghostexp.training.callbacks import Throughput\n"
        "fast_norm.time_both = lambda a, b, maps, *c: (1.0, 2.0 * (maps.shape[1] == 16))\n"
        "def stop(self, trainer, module, batch, index):\n"
        "    if (trainer.current_epoch, index) == (2, 1): os.kill(os.getpid(), signal.SIGKILL)\n"
        "Throughput.on_train_batch_start = stop\n"
        f"import runpy; sys.argv = {command!r}\n"
        "runpy.run_path(sys.argv[0], run_name='__main__')"
    )
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env=environment, capture_output=True, text=True
    )
    assert done.returncode == -signal.SIGKILL, done.stderr


@pytest.mark.slow
def test_a_killed_run_decides_as_before_without_the_cache(app, tmp_path, monkeypatch, cache):
    verdict(monkeypatch, 16)
    undisturbed = run(app, tmp_path, "undisturbed")
    shutil.rmtree(cache)
    start_and_kill(tmp_path)
    (killed,) = tmp_path.glob("outputs/killed/*")
    shutil.rmtree(cache)
    verdict(monkeypatch, 32, 64)  # a busy machine finds the opposite
    assert app(f"resume={killed}") == 0
    assert_same_weights(undisturbed, killed)
    decided = [json.loads(line) for line in (killed / RECORD).read_text().splitlines()]
    assert {line["kind"].split(",")[1]: line["ours"] for line in decided} == {
        " 16 channels": True,
        " 32 channels": False,
    }
    assert not any(cache.rglob("*.jsonl"))
    other = run(app, tmp_path, "other")
    assert any(
        not torch.equal(*pair) for pair in zip(weights(other), weights(undisturbed), strict=True)
    )


def test_the_log_says_how_many_layers_are_ours(app, tmp_path, monkeypatch, cache):
    verdict(monkeypatch, 16)
    folder = run(app, tmp_path, "said")
    log = (folder / "train.log").read_text()
    sentence = "our kernels compute 7 of 21 batch norms and Ghost modules in training, and torch's"
    assert log.count(sentence) == 1
    assert result(folder)["status"] == "finished"
    Run(folder).clear()  # a run that starts over decides anew
    assert not (folder / RECORD).exists()
