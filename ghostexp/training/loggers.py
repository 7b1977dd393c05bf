"""What Lightning's loggers lack: a metrics file that a resumed run goes on with.

Lightning's CSVLogger deletes the file of an earlier start in the same folder.
"""

import csv
from pathlib import Path
from typing import Any

from pytorch_lightning.loggers import Logger
from pytorch_lightning.utilities import rank_zero_only


class MetricsFile(Logger):
    """Logs to one CSV file, a row a call; rows after the step it resumes at are replaced."""

    def __init__(self, path: str) -> None:
        super().__init__()
        self.path = Path(path)
        self.columns: list[str] = []
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
        if not self.started or not row.keys() <= set(self.columns):
            self._make_room(row)
        with self.path.open("a", newline="") as file:
            csv.DictWriter(file, self.columns).writerow(row)

    def _make_room(self, row: dict[str, Any]) -> None:
        """Rewrite the file with a column for every key of `row`; at the start, cut it there."""
        rows = self._read()
        if not self.started:
            rows = [old for old in rows if int(old["step"]) < row["step"]]
        self.started = True
        self.columns += [key for key in row if key not in self.columns]
        self._rewrite(rows)

    def _read(self) -> list[dict[str, str]]:
        if not self.path.exists():
            return []
        with self.path.open(newline="") as file:
            reader = csv.DictReader(file)
            self.columns = list(reader.fieldnames or [])
            return list(reader)

    def _rewrite(self, rows: list[dict[str, str]]) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        temporary = self.path.with_suffix(".tmp")
        with temporary.open("w", newline="") as file:
            writer = csv.DictWriter(file, self.columns)
            writer.writeheader()
            writer.writerows(rows)
        temporary.replace(self.path)
