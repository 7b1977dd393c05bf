"""Readable names: which metric counts, what it is called on an axis, and what a key is called."""

import re
from collections.abc import Iterable

from ghostexp.results.text import short

WORDS = {
    **{"acc": "accuracy", "auroc": "AUROC", "calibration": "calibration error"},
    **{"f1": "F1", "map": "mAP", "train": "training", "val": "validation"},
}
SHARES = ("acc", "f1", "map", "precision", "recall")  # how the names of such metrics begin
KEYS = {  # last part of a key -> its name
    "batch_size": "images per batch",
    "cheap_kernel_size": "kernel size d of the cheap operation",
    "lr": "learning rate",
    "max_epochs": "epochs",
    "ratio": "ratio s of all maps to intrinsic maps",
    "width_mult": "width multiplier",
}


def primary_metric(names: Iterable[str]) -> str:
    """`test/acc` if it is among the names, else `test/map`, else the first test metric there is."""
    tests = {name for name in names if name.startswith("test/")}
    preferred: list[str] = [name for name in ("test/acc", "test/map") if name in tests]
    return (preferred or sorted(tests) or ["test/acc"])[0]


def is_share(metric: str) -> bool:
    """Whether a metric is a share from 0 to 1, which a table gives in percent."""
    return metric.partition("/")[2].startswith(SHARES)


def metric_name(metric: str) -> str:
    """`test/acc` -> `test accuracy, %`."""
    name = " ".join(WORDS.get(word, word) for word in re.split("[/_]", metric))
    return f"{name}, %" if is_share(metric) else name


def key_name(key: str) -> str:
    """`optimizer.lr` -> `learning rate (optimizer.lr)`."""
    last = short(key)
    name = KEYS.get(last, last.replace("_", " "))
    return name if name == key else f"{name} ({key})"
