"""Two sweeps compared: weights, records, metrics, curves and files of every run."""

import csv
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

TIMES = (
    "wall_s",
    "started",
    "ended",
    "pid",
    "segments",
    "throughput",
    "checkpoint",
    "training",
    "git",
)
# of Lightning's, which a resume or an end within a validation changes and nothing depends on
MEMORY = ("current_score", "combined_loader", "epoch_loop.val_loop.batch_progress")
SPEED = "images_per_s"
EVENTS = re.compile(r"events\.out\.tfevents\..*")


def differences(one: Path, other: Path) -> Iterator[str]:
    """What differs between the sweeps in two folders, but for times, speeds and process numbers."""
    yield from _compare(dict.fromkeys(_names(one)), dict.fromkeys(_names(other)), "files")
    for run in sorted(path.parent.name for path in one.glob("*/result.json")):
        first, second = one / run, other / run
        for name in ("last.ckpt", "best.ckpt"):
            yield from _compare(*(_checkpoint(f, name) for f in (first, second)), f"{run}/{name}")
        yield from _compare(_record(first), _record(second), f"{run}/result.json")
        yield from _compare(_rows(first), _rows(second), f"{run}/metrics.csv")
        for name in ("confusion.csv", ".hydra/config.yaml"):
            yield from _compare(_text(first / name), _text(second / name), f"{run}/{name}")


def curves_differ(one: dict[str, Any], other: dict[str, Any]) -> Iterator[str]:
    """What differs between the curves of two folders, as TensorBoard's server gives them."""
    yield from _compare(one, other, "curves")


def _compare(one: Any, other: Any, place: str) -> Iterator[str]:
    """Every leaf that differs; tensors bit for bit."""
    if isinstance(one, dict) and isinstance(other, dict):
        for key in sorted(one.keys() | other.keys(), key=str):
            if key not in one or key not in other:
                yield f"{place}.{key} is in one of them only"
            else:
                yield from _compare(one[key], other[key], f"{place}.{key}")
    elif isinstance(one, list | tuple) and isinstance(other, list | tuple):
        if len(one) != len(other):
            yield f"{place} has {len(one)} and {len(other)} entries: {one} {other}"[:500]
        for index, pair in enumerate(zip(one, other, strict=False)):
            yield from _compare(*pair, f"{place}.{index}")
    elif isinstance(one, torch.Tensor) and isinstance(other, torch.Tensor):
        if one.dtype != other.dtype or not torch.equal(one, other):
            yield f"{place} differs"
    elif one != other:
        yield f"{place} is {one} and {other}"[:500]


def _names(folder: Path) -> Iterator[str]:
    """Relative paths of all files; those of events are one name, of which a resume makes more."""
    for path in folder.rglob("*"):
        name = EVENTS.sub("events", str(path.relative_to(folder)))
        if name not in (".", "train.log"):
            yield name


def _checkpoint(run: Path, name: str) -> dict[str, Any]:
    saved = torch.load(run / "checkpoints" / name, weights_only=True, map_location="cpu")
    return _comparable(saved, run)


def _comparable(value: Any, run: Path) -> Any:
    """Without the folder in paths, and without times, speeds and `MEMORY`."""
    if isinstance(value, dict):
        return {
            _comparable(key, run): _comparable(each, run)
            for key, each in value.items()
            if not (str(key) in (*TIMES, *MEMORY, "Throughput") or SPEED in str(key))
        }
    if isinstance(value, list | tuple):
        return [_comparable(each, run) for each in value]
    return value.replace(str(run), "RUN") if isinstance(value, str) else value


def _record(run: Path) -> dict[str, Any]:
    record = json.loads((run / "result.json").read_text())
    return _comparable(record, run)


def _rows(run: Path) -> list[dict[str, str]]:
    with (run / "metrics.csv").open() as file:
        return [
            {key: value for key, value in row.items() if SPEED not in key}
            for row in csv.DictReader(file)
        ]


def _text(path: Path) -> str:
    return path.read_text().replace(str(path.parents[1]), "RUN").replace(str(path.parent), "RUN")
