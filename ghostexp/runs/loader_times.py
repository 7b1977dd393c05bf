"""Loaders of one folder of photos beside each other: `ghostexp benchmark loader`.

Each loader lives in a process of its own, with its workers, and they take turns: all passes over
the photos are interleaved. Each gives batches that a network takes, cropped, mirrored, float32 and
normalised on the CPU, which is what counts. (Beside a GPU, ours and timm's normalise there.)
"""

import platform
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import psutil
import torch
from torch import Tensor

from ghostexp.config.build import build
from ghostexp.config.choices import PACKAGE
from ghostexp.config.cli import compose_config
from ghostexp.config.explain import UserError
from ghostexp.data.draws import Place
from ghostexp.data.pack import pack
from ghostexp.results.provenance import code_state
from ghostexp.results.wording import counted
from ghostexp.runs.machine import allowed_cores, cpu_name
from ghostexp.runs.made_photos import make_photos

OURS, PACKED = "dataset=imagenet", "dataset=shards"
TORCHVISION, TIMM = "torchvision ImageFolder", "timm create_loader"
SIZE = 224
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
PHOTOS = 5000
SHARD_SIZE = 64 * 10**6
PACKAGES = ("torch", "torchvision", "timm", "pillow", "simplejpeg")

Passes = Iterator[Iterator[Tensor]]  # over all photos, one after the other


@dataclass
class Measured:
    """What the passes of one loader took, one value per round."""

    loader: str
    workers: int
    batch_size: int
    images: int  # of a pass
    seconds: list[float]
    cpu_seconds: list[float]  # of all its processes
    rss_bytes: list[int]  # of all its processes, what they share counted in each


def time_loaders(
    photos: Path | None, *, workers: Sequence[int], batch_size: int, rounds: int
) -> list[dict[str, Any]]:
    """A row per loader and number of workers; `photos` holds train and val, None makes some."""
    with TemporaryDirectory() as folder:
        shards = Path(folder) / "shards"
        if photos is None:
            photos = Path(folder) / "photos"
            make_photos(photos, PHOTOS, PHOTOS // 50)
        pack(photos, shards, shard_size=SHARD_SIZE, seed=0)
        rows = [_rows(photos, shards, count, batch_size, rounds) for count in workers]
    return [row for each in rows for row in each]


def _rows(
    photos: Path, shards: Path, workers: int, batch_size: int, rounds: int
) -> list[dict[str, Any]]:
    """The passes of all loaders with one number of workers, interleaved."""
    makers: dict[str, Callable[[int], Passes]] = {
        TORCHVISION: lambda count: torchvision_passes(photos / "train", batch_size, count),
        TIMM: lambda count: timm_passes(photos / "train", batch_size, count),
        OURS: lambda count: our_passes(OURS, photos, batch_size, count),
        PACKED: lambda count: our_passes(PACKED, shards, batch_size, count),
    }
    loaders = [_Loader(name, make, workers, batch_size) for name, make in makers.items()]
    for number in range(rounds + 1):  # the first one warms up
        for shift in range(len(loaders)):
            loaders[(number + shift) % len(loaders)].take_turn(counts=number > 0)
    return [asdict(loader.end()) for loader in loaders]


def described(rounds: int) -> str:
    """Machine, versions and revision, for whoever reads the numbers."""
    cores = counted(allowed_cores(), "core")
    versions = [f"{name} {version(name)}" for name in PACKAGES]
    state = code_state(PACKAGE)
    revision = f"revision {(state['revision'] or 'unknown')[:10]}"
    dirty = " with changes" if state["dirty"] else ""
    python = f"python {platform.python_version()}"
    rest = [python, *versions, revision + dirty, f"median of {rounds} rounds"]
    return ", ".join([cpu_name(), cores, *rest])


def torchvision_passes(folder: Path, batch_size: int, workers: int) -> Passes:
    """ImageFolder and DataLoader with the transforms of torchvision's training reference."""
    from torch.utils.data import DataLoader
    from torchvision import datasets, transforms

    steps = transforms.Compose(
        [
            transforms.RandomResizedCrop(SIZE, antialias=True),
            transforms.RandomHorizontalFlip(),
            transforms.PILToTensor(),
            transforms.ConvertImageDtype(torch.float32),
            transforms.Normalize(MEAN, STD),
        ]
    )
    loader = DataLoader(
        datasets.ImageFolder(str(folder), steps),
        batch_size,
        shuffle=True,
        num_workers=workers,
        persistent_workers=True,
    )
    while True:
        yield (images for images, _ in loader)


def timm_passes(folder: Path, batch_size: int, workers: int) -> Passes:
    """timm's loader with the same crop; its prefetcher normalises whole batches, as ours."""
    from timm.data import create_dataset, create_loader

    loader = create_loader(
        create_dataset("", root=str(folder), split="train", is_training=True),
        (3, SIZE, SIZE),
        batch_size,
        is_training=True,
        color_jitter=0.0,
        interpolation="bilinear",
        mean=MEAN,
        std=STD,
        num_workers=workers,
        device=torch.device("cpu"),
    )
    while True:
        yield (images for images, _ in loader)


def our_passes(choice: str, root: Path, batch_size: int, workers: int) -> Passes:
    """Ours as the config has it; normalised by `Augment`, which does it on the training device."""
    words = [choice, f"dataset.root={root}", "dataset.num_classes=null"]
    words += [f"dataset.batch_size={batch_size}", f"dataset.loading.num_workers={workers}"]
    data = build(compose_config(words).dataset, "dataset")
    data.setup("fit")
    loader = data.train_dataloader()
    epoch = 0
    while True:
        loader.sampler.set_epoch(epoch)
        yield (
            data.augment.train(images, labels, Place(0, epoch, batch=batch))[0]
            for batch, (images, labels) in enumerate(loader)
        )
        epoch += 1


class _Loader:
    """A loader in its process, which makes a pass whenever it is its turn."""

    def __init__(
        self, name: str, make: Callable[[int], Passes], workers: int, batch_size: int
    ) -> None:
        context = get_context("fork")  # all begin with the same memory
        self.told, other = context.Pipe()
        self.process = context.Process(target=_serve, args=(other, make, workers))
        self.process.start()
        self.found = Measured(name, workers, batch_size, 0, [], [], [])

    def take_turn(self, *, counts: bool) -> None:
        """One pass; a first one only warms up."""
        self.told.send(True)
        answer = self.told.recv()
        if isinstance(answer, str):
            raise UserError(f"{self.found.loader}: {answer}")
        if counts:
            self.found.images, seconds, cpu_seconds, rss_bytes = answer
            self.found.seconds.append(seconds)
            self.found.cpu_seconds.append(cpu_seconds)
            self.found.rss_bytes.append(rss_bytes)

    def end(self) -> Measured:
        """Let the process end."""
        self.told.send(False)
        self.process.join()
        return self.found


def _serve(told: Connection, make: Callable[[int], Passes], workers: int) -> None:
    """Answer each request with the images, seconds, CPU seconds and memory of a pass."""
    torch.set_num_threads(1)
    passes = make(workers)
    try:
        while told.recv():
            images, started, before = 0, time.perf_counter(), _cpu_seconds()
            for batch in next(passes):
                images += len(batch)
            seconds = time.perf_counter() - started
            memory = sum(process.memory_info().rss for process in _family())
            told.send((images, seconds, _cpu_seconds() - before, memory))
    except Exception as error:  # whatever it is, the measurement ends with it
        told.send(repr(error))


def _cpu_seconds() -> float:
    """User and system time of this process and its workers, which are kept between passes."""
    return sum(sum(process.cpu_times()[:2]) for process in _family())


def _family() -> list[psutil.Process]:
    here = psutil.Process()
    return [here, *here.children(recursive=True)]
