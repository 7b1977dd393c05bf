"""A metrics file that a resumed run goes on with.

Lightning's CSVLogger deletes the file of an earlier start in the same folder.
"""

import csv
import io
from collections.abc import Collection
from pathlib import Path
from typing import Any

from pytorch_lightning.loggers import Logger
from pytorch_lightning.utilities import rank_zero_only

from ghostexp.files.append import append
from ghostexp.files.atomic import replacing

TEST = "test/"
VALIDATION = "val/"


class MetricsFile(Logger):
    """Logs to one CSV file, one row per call; a resumed run replaces rows as `outlives` says."""

    def __init__(self, path: str) -> None:
        super().__init__()
        self.path = Path(path)
        self.columns: list[str] = []
        self.first: dict[str, Any] | None = None  # the first row of this launch
        self.started = False

    @property
    def name(self) -> str:
        return self.path.stem

    @property
    def version(self) -> str:
        return ""

    @rank_zero_only
    def log_hyperparams(self, params: Any, *args: Any) -> None:
        """Hyperparameters are in the run's `.hydra/config.yaml` already."""

    @rank_zero_only
    def log_metrics(self, metrics: dict[str, float], step: int | None = None) -> None:
        row = {"step": step, **metrics}
        self.first = self.first or row
        if not self.started or not row.keys() <= set(self.columns):
            self._make_room(row)
        append(self.path, self._text([row]))

    def _make_room(self, row: dict[str, Any]) -> None:
        """Rewrite the file with a column for every key of `row`; at the start, cut it there."""
        rows = self._read()
        if not self.started:
            first, step = self.first, self.first["step"]
            rows = [old for old in rows if outlives(_tags(old), int(old["step"]), first, step)]
        columns = self.columns + [key for key in row if key not in self.columns]
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.columns = columns
        with replacing(self.path) as file:
            file.write(self._text([dict(zip(columns, columns, strict=True)), *rows]))
        self.started = True

    def _read(self) -> list[dict[str, str]]:
        if not self.path.exists():
            return []
        with self.path.open(newline="", encoding="utf-8") as file:
            reader = csv.DictReader(file)
            self.columns = list(reader.fieldnames or [])
            return list(reader)

    def _text(self, rows: list[dict[str, Any]]) -> bytes:
        """Rows as CSV; what UTF-8 cannot hold, as in some file names, becomes an escape."""
        text = io.StringIO(newline="")
        csv.DictWriter(text, self.columns).writerows(rows)
        return text.getvalue().encode("utf-8", "backslashreplace")


def outlives(tags: Collection[str], step: int, first_tags: Collection[str], first: int) -> bool:
    """Whether a point of an earlier launch stays, beside a launch that begins at step `first`.

    What an earlier launch wrote from that step on belongs to an epoch that was cut and is done
    again. A finished test is no part of that epoch, although it bears the step at which a longer
    training begins: it stays, unless the launch does that very test again.
    """
    if step == first and any(tag.startswith(TEST) for tag in tags):
        return not any(tag.startswith(TEST) for tag in first_tags)
    if step == first and any(tag.startswith(VALIDATION) for tag in first_tags):
        # the launch goes on within an epoch's validation, whose last batch was trained before
        return not any(tag.startswith(VALIDATION) for tag in tags)
    return step < first


def _tags(row: dict[str, str]) -> list[str]:
    return [name for name, value in row.items() if value]
