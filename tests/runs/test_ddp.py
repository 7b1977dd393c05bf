"""One run on several processes: it is one run, and learns what one process would.

A first launch fails in rank 1, a second one resumes it: two gloo processes on a CPU each time.
"""

import csv
import os
import subprocess
import sys
from collections import Counter
from itertools import product

import numpy as np
import pytest
from helpers import ROOT, result
from PIL import Image

from ghostexp.data.pack import pack
from ghostexp.results.record import read_record

pytestmark = pytest.mark.extras  # five processes, which take both cores
EPOCHS = 3
CUT = 1  # epoch in which rank 1 fails at first
LATE = 14  # seconds until rank 0 meets the end of rank 1: Lightning looks for it every 5 s
WATCH = f"""
import hashlib, os, time
from pathlib import Path
import pytorch_lightning as pl

class Watch(pl.Callback):
    def __init__(self, folder, fails):
        self.folder = Path(folder)
        self.fails = fails

    def note(self, trainer, kind, batch):
        name = f"{{kind}}-{{trainer.current_epoch}}-{{trainer.global_rank}}"
        seen = [hashlib.sha256(image.numpy().tobytes()).hexdigest() for image in batch[0]]
        with (self.folder / name).open("a") as file:
            file.writelines(line + chr(10) for line in seen)

    def on_train_batch_start(self, trainer, module, batch, index):
        if self.fails and (trainer.current_epoch, index) == ({CUT}, 2):
            if trainer.global_rank == 1:
                raise ValueError("made to fail")
            time.sleep({LATE})
        if not self.fails or trainer.current_epoch != {CUT}:
            self.note(trainer, "train", batch)

    def on_validation_batch_start(self, trainer, module, batch, index, dataloader_idx=0):
        self.note(trainer, "val", batch)

    def on_test_batch_start(self, trainer, module, batch, index, dataloader_idx=0):
        self.note(trainer, "test", batch)
"""
LINEAR = (
    "model._args_=[{_target_:torch.nn.Flatten},"
    "{_target_:torch.nn.Linear,in_features:64,out_features:10}]"
)
COMMON = (  # no batch norm, no augmentation, 32 bit: what is compared differs by rounding alone
    "model=linear", LINEAR, "dataset.image_size=8", "dataset.augment.crop_padding=0",
    "dataset.val_split=0.15", "optimizer.lr=0.1", "trainer.precision=32-true",
    "trainer.log_every_n_steps=1", f"trainer.max_epochs={EPOCHS}", "callbacks.progress=null",
    "allow_targets=[watch]", "+callbacks.watch._target_=watch.Watch",
)  # fmt: skip
EACH_EPOCH = ("train/loss", "train/acc", "val/loss", "val/acc")
DDP = ("trainer=ddp", "trainer.accelerator=cpu", "dataset.batch_size=16")
ALONE = ("trainer.accelerator=cpu", "dataset.batch_size=32")


def train(folder, *arguments):
    """train.py as a user starts it; its exit code and output."""
    environment = {**os.environ, "PYTHONPATH": str(folder), "PYTHONWARNINGS": "default"}
    done = subprocess.run(
        [sys.executable, ROOT / "train.py", *arguments],
        capture_output=True, text=True, cwd=folder, env=environment, timeout=1200,
    )  # fmt: skip
    return done.returncode, done.stdout + done.stderr


@pytest.fixture(scope="module")
def launches(tmp_path_factory):
    """Folder, and code, output and record of the launch that fails and of the one that resumes."""
    folder = tmp_path_factory.mktemp("ddp")
    (folder / "watch.py").write_text(WATCH)
    (folder / "ddp").mkdir()
    watch = (f"+callbacks.watch.folder={folder}/ddp", "+callbacks.watch.fails=true")
    first = train(folder, *COMMON, *DDP, *watch)
    (run,) = folder.glob("outputs/train/*")
    first = (*first, read_record(run))
    second = train(folder, f"resume={run}", "allow_targets=[watch]", "callbacks.watch.fails=false")
    return run, first, (*second, result(run))


@pytest.fixture
def alone(launches, app, tmp_path, monkeypatch):
    """The same training in this process, with the doubled batch."""
    monkeypatch.syspath_prepend(launches[0].parents[2])
    (tmp_path / "seen").mkdir()
    watch = (f"+callbacks.watch.folder={tmp_path}/seen", "+callbacks.watch.fails=false")
    assert app(*COMMON, *ALONE, *watch) == 0
    (run,) = tmp_path.glob("outputs/train/*")
    return run


def test_a_failing_rank_ends_all_and_says_why(launches):
    _, (code, said, record), _ = launches
    assert code == 1, said
    assert record["status"] == "failed"
    assert record["error"]["message"].endswith("rank 1: made to fail")
    assert "on_train_batch_start" in record["error"]["traceback"]


def test_the_resumed_run_is_one_run(launches):
    run, _, (code, said, record) = launches
    assert code == 0, said
    assert (record["status"], record["epochs"]) == ("finished", EPOCHS)
    assert record["checkpoint"] == "checkpoints/last.ckpt"
    assert record["device"].endswith("2 processes of 1 thread")
    files = sorted(path.name for path in run.parent.rglob("*") if path.is_file())
    assert files.count("result.json") == files.count("metrics.csv") == 1
    assert [name for name in files if name.endswith(".log")] == ["train.log"]
    log = (run / "train.log").read_text()
    for epoch in range(CUT + 1, EPOCHS + 1):  # a resumed run repeats the line it starts at
        assert log.count(f"epoch {epoch} of {EPOCHS}: ") == 1
    assert log.count("test accuracy ") == 1
    assert said.count("going on from") == 1


def images(folder, kind, epoch):
    """How often each image was seen in an epoch, and by each rank how many."""
    ranks = [path.read_text().split() for path in sorted(folder.glob(f"{kind}-{epoch}-*"))]
    return Counter(sum(ranks, [])), [len(rank) for rank in ranks]


def test_the_processes_together_see_every_image_once(launches, alone):
    together, single = launches[0].parents[2] / "ddp", alone.parents[2] / "seen"
    for kind, epochs in (("train", range(EPOCHS)), ("val", range(EPOCHS)), ("test", [EPOCHS])):
        for epoch in epochs:
            seen, shares = images(together, kind, epoch)
            expected, whole = images(single, kind, epoch)
            assert seen == expected, (kind, epoch)
            assert len(shares) == 2
            assert max(shares) - min(shares) <= 1
            assert sum(shares) == whole[0]


def curve(run, column):
    rows = list(csv.DictReader((run / "metrics.csv").read_text().splitlines()))
    return {int(row["step"]): float(row[column]) for row in rows if row.get(column)}


def test_two_processes_learn_what_one_does_with_the_doubled_batch(launches, alone):
    together = launches[0]
    steps = curve(alone, "train/loss_step")
    assert len(steps) == EPOCHS * 39  # 1,222 images
    for column in (*EACH_EPOCH, "train/loss_step", "test/loss", "test/acc"):
        expected = curve(alone, column)
        assert curve(together, column) == pytest.approx(expected, rel=1e-5, abs=1e-6), column
    assert steps[len(steps) - 1] < 0.5 * steps[0]
    assert (together / "confusion.csv").read_text() == (alone / "confusion.csv").read_text()


def test_two_processes_read_every_image_of_the_shards_once(tmp_path):
    """In each epoch, and each process about half of them."""
    generator = np.random.default_rng(0)
    for split, name, number in product(("train", "val"), ("one", "two"), range(20)):
        path = tmp_path / "images" / split / name / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(generator.integers(256, size=(8, 8, 3), dtype=np.uint8)).save(path)
    pack(tmp_path / "images", tmp_path / "shards", shard_size=4000, seed=0)
    (tmp_path / "watch.py").write_text(WATCH)
    (tmp_path / "seen").mkdir()
    words = [word for word in COMMON if not word.startswith(("model._args_", "dataset."))]
    code, said = train(
        tmp_path, *words, LINEAR.replace("64", "192").replace("10", "2"), *DDP,
        "dataset=shards", "dataset.root=shards", "dataset.num_classes=2", "dataset.image_size=8",
        "dataset.files.train=[]", "dataset.files.evaluate=[]", "dataset.window=2",
        "dataset.batch_size=4", "dataset.augment.flip=false", "trainer.max_epochs=2",
        f"+callbacks.watch.folder={tmp_path}/seen", "+callbacks.watch.fails=false",
    )  # fmt: skip
    assert code == 0, said
    orders = []
    for epoch in range(2):
        seen, shares = images(tmp_path / "seen", "train", epoch)
        assert shares == [20, 20]
        assert set(seen.values()) == {1}  # 40 images, each another one
        orders.append(list(seen))
    assert sorted(orders[0]) == sorted(orders[1])
    assert orders[0] != orders[1]
