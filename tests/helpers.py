"""What several test files need."""

import json
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
SMALL = (  # seconds a run: a small network on small digits, two batches an epoch
    "model=resnet20",
    "dataset.image_size=8",
    "dataset.val_split=0.1",
    "trainer.log_every_n_steps=1",
    "trainer.limit_train_batches=2",
    "trainer.limit_val_batches=1",
    "trainer.limit_test_batches=1",
    "callbacks.progress=null",
    "callbacks.summary=null",
)


def result(folder: Path) -> dict[str, Any]:
    """Record of the run in a folder."""
    return json.loads((folder / "result.json").read_text())
