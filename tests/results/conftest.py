"""Run folders made by hand, as record.py and the CSV logger leave them."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

CIFAR10 = [
    *("airplane", "automobile", "bird", "cat", "deer"),
    *("dog", "frog", "horse", "ship", "truck"),
]


def unflatten(flat: dict[str, Any]) -> dict[str, Any]:
    """Nested mappings of dotted keys."""
    nested: dict[str, Any] = {}
    for key, value in flat.items():
        *groups, last = key.split(".")
        node = nested
        for group in groups:
            node = node.setdefault(group, {})
        node[last] = value
    return nested


MakeRun = Callable[..., Path]


@pytest.fixture
def make_run(tmp_path) -> MakeRun:
    """make_run(name, ratio=2, seed=0, acc=0.9, **fields) -> folder of a run; None drops a field.

    `config` is laid over the run's config; its keys are dotted.
    """

    def make(
        name: str,
        /,
        ratio: int = 2,
        seed: int = 0,
        acc: float | None = 0.9,
        losses: tuple[float, ...] = (1.0, 0.5),
        config: dict[str, Any] | None = None,
        **fields: Any,
    ) -> Path:
        folder = tmp_path / "runs" / name
        folder.mkdir(parents=True)
        record = {
            "schema": 2,
            "status": "finished",
            "name": "ratio_ablation",
            "run": folder.name,
            "swept": {"model.ratio": ratio, "seed": seed},
            "choices": {"model": "ghost_resnet56", "dataset": "image_folder"},
            "seed": seed,
            "config": unflatten(
                {
                    "seed": seed,
                    "model._target_": "ghostexp.models.ghost_resnet56",
                    "model.ratio": ratio,
                    "model.cheap_kernel_size": 3,
                    "dataset.seed": seed,
                }
                | (config or {})
            ),
            "dataset": {"class_names": CIFAR10, "num_train": 50_000},
            "network": {"params": 1_000_000 // ratio, "macs": 120_000_000 // ratio},
            "metrics": {"test/acc": acc, "test/loss": 0.3} if acc is not None else {},
            "selected": {"rule": "last epoch", "epoch": len(losses)},
            "epochs": len(losses),
            "max_epochs": len(losses),
            "throughput": 1000.0,
            "wall_s": 3661.0,
            "device": "cpu, 2 threads",
            "versions": {"torch": "2.15.0"},
            "git": {"revision": "0123456789abcdef", "dirty": False},
            "error": None,
        } | fields
        record = {key: value for key, value in record.items() if value is not None}
        (folder / "result.json").write_text(json.dumps(record))
        lines = ["step,epoch,train/loss_step,train/loss,val/acc"]
        for epoch, loss in enumerate(losses):
            lines += [f"{epoch * 10},{epoch},{loss},,", f"{epoch * 10},{epoch},,{loss},"]
            lines += [f"{epoch * 10},{epoch},,,{1 - loss / 2}"]
        (folder / "metrics.csv").write_text("\n".join(lines) + "\n")
        return folder

    return make
