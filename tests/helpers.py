"""What several test files need."""

import importlib
import json
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

ROOT = Path(__file__).parents[1]
SMALL = (  # seconds per run: a small network on small digits, two batches per epoch
    "model=resnet20",
    "dataset.image_size=8",
    "dataset.val_split=0.1",
    "trainer.log_every_n_steps=1",
    "trainer.limit_train_batches=2",
    "trainer.limit_val_batches=1",
    "trainer.limit_test_batches=1",
    "callbacks.progress=null",
    "callbacks.summary=null",
    "callbacks.pictures=null",
)
DRAWN = SMALL[:-1]  # with its pictures, which take as long as the rest of a small run


def long_ones(values: Iterable[Any], long: Iterable[Any]) -> list[Any]:
    """Parameters of a test; those in `long` run in `make test-slow`."""
    return [pytest.param(v, marks=pytest.mark.slow) if v in long else v for v in values]


def main_of(command: str) -> Callable[[list[str]], int]:
    """The main function of a command of `ghostexp`."""
    return importlib.import_module(f"ghostexp.commands.{command}").main


def result(folder: Path) -> dict[str, Any]:
    """Record of the run in a folder."""
    return json.loads((folder / "result.json").read_text())


def epoch(data: Any, number: int = 0, loader: str = "train_dataloader") -> tuple[Any, Any]:
    """Images and labels of an epoch of a data module, in order."""
    import torch  # as below

    batches = getattr(data, loader)()
    batches.sampler.set_epoch(number)
    images, labels = zip(*batches, strict=True)
    return torch.cat(images), torch.cat(labels)


def assert_same_weights(one: Path, other: Path) -> None:
    """The last checkpoints of two runs hold the same bits, epoch and schedule."""
    import torch  # not at the top: conftest.py sets its number of threads first

    first, second = (
        torch.load(folder / "checkpoints" / "last.ckpt", weights_only=True, map_location="cpu")
        for folder in (one, other)
    )
    assert first["state_dict"].keys() == second["state_dict"].keys()
    for key, value in first["state_dict"].items():
        assert torch.equal(value, second["state_dict"][key]), key
    assert first["epoch"] == second["epoch"]
    assert first["lr_schedulers"] == second["lr_schedulers"]


def write_coco(path: Path, images: Path, content: dict[str, list[dict]]) -> None:
    """An annotation file in COCO's form, and its images, black with white boxes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    images.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content))
    for entry in content["images"]:
        pixels = np.zeros((entry["height"], entry["width"], 3), np.uint8)
        for annotation in content["annotations"]:
            if annotation["image_id"] == entry["id"]:
                left, top, width, height = map(int, annotation["bbox"])
                pixels[max(top, 0) : top + height, max(left, 0) : left + width] = 255
        Image.fromarray(pixels).save(images / entry["file_name"])


@contextmanager
def killed_at_the_end(process: subprocess.Popen) -> Iterator[subprocess.Popen]:
    """The process, for which a block whose assertion fails would otherwise wait forever."""
    with process:
        try:
            yield process
        finally:
            process.kill()


@contextmanager
def lock_holder(path: Path, then: str = "time.sleep(60)") -> Iterator[subprocess.Popen]:
    """Another process that holds the lock at `path`, and then executes the statements `then`."""
    script = (
        "import sys, time; from pathlib import Path; from ghostexp.files.lock import Lock\n"
        f"Lock(Path(sys.argv[1])).acquire(); print('held', flush=True); {then}\n"
    )
    command = [sys.executable, "-c", script, str(path)]
    with killed_at_the_end(subprocess.Popen(command, stdout=subprocess.PIPE, text=True)) as process:
        assert process.stdout.readline() == "held\n"
        yield process
