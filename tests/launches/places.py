"""Steps that make the folder of a launch: runs to start from, and what is done to them."""

import io
import json
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from functools import cache, cached_property
from pathlib import Path
from typing import Any

import numpy as np
from helpers import DRAWN
from launches.harness import Warm
from launches.judge import NOTES
from PIL import Image

QUICK = (*DRAWN, "trainer.accelerator=cpu", "trainer.max_epochs=1")


class Bases:
    """Runs that launches start from, each made once, in `folder`."""

    def __init__(self, warm: Warm, folder: Path) -> None:
        self.warm, self.folder = warm, folder

    @cached_property
    def finished(self) -> Path:
        return self._run("finished")

    @cached_property
    def ghost(self) -> Path:
        """A finished run whose network has Ghost modules, of images in folders."""
        return self._run("ghost", "model=ghost_resnet56")

    @cached_property
    def failed(self) -> Path:
        """A run whose loss was lost."""
        return self._run("failed", "optimizer.lr=1e30", "trainer.max_epochs=3", code=1)

    @cached_property
    def detector(self) -> Path:
        return self._run(
            "detector",
            *("model=retinanet_ghostnet_small", "dataset=shapes", "task=detection"),
            *(
                "callbacks=detection",
                "without dataset.val_split",
                "without dataset.image_size",
                "model.min_size=64",
                "model.max_size=64",
            ),
        )

    @cached_property
    def sounds(self) -> Path:
        return self._run("sounds", "dataset=tones", "without dataset.image_size")

    def _run(self, name: str, *overrides: str, code: int = 0) -> Path:
        """A run made by a launch: a later override of a key takes the place of an earlier one."""
        folder = self.folder / name
        folder.mkdir(parents=True)
        ended = self.warm.launch(
            "train.py", merged(*QUICK, *overrides), folder, streams=self.folder / f"{name}-streams"
        )
        assert ended.code == code, f"{name}: {ended.stderr}"
        (run,) = (folder / "outputs" / "train").glob("20*")
        (run / NOTES).write_text("a person's own notes, in the folder of a run\n")
        return run


def merged(*overrides: str) -> list[str]:
    """Overrides with the last value of each key; `without key` takes its override out."""
    values: dict[str, str] = {}
    for override in overrides:
        if override.startswith("without "):
            del values[override.removeprefix("without ")]
        else:
            values[override.partition("=")[0]] = override
    return list(values.values())


Step = Callable[[Path, Bases], None]


def has(base: str, at: str = "run") -> Step:
    """A copy of a base's folder."""

    def step(folder: Path, bases: Bases) -> None:
        shutil.copytree(getattr(bases, base), folder / at)

    return step


def written(at: str, content: str | bytes) -> Step:
    """A file with this content, in the place of what is there."""

    def step(folder: Path, bases: Bases) -> None:
        path = folder / at
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)

    return step


def folder_at(at: str) -> Step:
    """An empty folder."""

    def step(folder: Path, bases: Bases) -> None:
        (folder / at).mkdir(parents=True)

    return step


def full_disk(at: str, kilobytes: int) -> Step:
    """A file system of this size of its own; needs root (`can_mount`)."""

    def step(folder: Path, bases: Bases) -> None:
        (folder / at).mkdir(parents=True)
        size = f"size={kilobytes}k"
        subprocess.run(["mount", "-t", "tmpfs", "-o", size, "tmpfs", folder / at], check=True)

    return step


@cache
def can_mount() -> bool:
    """Whether this process may make a file system, as root may in most containers."""
    with tempfile.TemporaryDirectory() as folder:
        command = ["mount", "-t", "tmpfs", "-o", "size=4k", "tmpfs", folder]
        mounted = subprocess.run(command, capture_output=True).returncode == 0
        if mounted:
            subprocess.run(["umount", folder], check=True)
    return mounted


def unmount(folder: Path) -> None:
    """Give back what `full_disk` mounted below the folder."""
    for line in Path("/proc/mounts").read_text().splitlines():
        place = line.split()[1]
        if place.startswith(f"{folder}/"):
            subprocess.run(["umount", "--lazy", place], check=True)


def removed(at: str) -> Step:
    """Without a file."""

    def step(folder: Path, bases: Bases) -> None:
        (folder / at).unlink()

    return step


def cut(at: str, share: float = 0.5) -> Step:
    """Only the first share of a file's bytes."""

    def step(folder: Path, bases: Bases) -> None:
        content = (folder / at).read_bytes()
        (folder / at).write_bytes(content[: int(len(content) * share)])

    return step


def replaced(at: str, old: str, new: str) -> Step:
    """A text file with one part exchanged."""

    def step(folder: Path, bases: Bases) -> None:
        text = (folder / at).read_text()
        assert old in text, f"{at} has no {old}"
        (folder / at).write_text(text.replace(old, new, 1))

    return step


def recorded(at: str, **facts: Any) -> Step:
    """A record with other facts."""

    def step(folder: Path, bases: Bases) -> None:
        path = folder / at / "result.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | facts))

    return step


def configured(at: str, key: str, value: Any) -> Step:
    """The saved config of a run with another value, not resolved, at a dotted key."""
    from omegaconf import OmegaConf, open_dict

    def step(folder: Path, bases: Bases) -> None:
        path = folder / at / ".hydra" / "config.yaml"
        cfg = OmegaConf.load(path)
        with open_dict(cfg):
            OmegaConf.update(cfg, key, value, merge=False, force_add=True)
        OmegaConf.save(cfg, path)

    return step


def checkpointed(at: str, change: Callable[[dict], Any]) -> Step:
    """A checkpoint that `change` has made something else of."""
    import torch

    def step(folder: Path, bases: Bases) -> None:
        saved = torch.load(folder / at, weights_only=True)
        buffer = io.BytesIO()
        torch.save(change(saved), buffer)
        (folder / at).write_bytes(buffer.getvalue())

    return step


def pictures(at: str, classes: int = 3, count: int = 6, size: int = 8) -> Step:
    """Folders of small images, one folder per class."""

    def step(folder: Path, bases: Bases) -> None:
        draw = np.random.default_rng(0)
        for name in range(classes):
            place = folder / at / f"class{name}"
            place.mkdir(parents=True)
            for index in range(count):
                pixels = draw.integers(0, 255, (size, size, 3), np.uint8)
                Image.fromarray(pixels).save(place / f"{index}.png")

    return step
