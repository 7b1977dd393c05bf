"""All runs below a folder for a program: as rows, and as a table of pandas."""

from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ghostexp.results.collect import Run
from ghostexp.results.collect import collect as read_tree
from ghostexp.results.formats import csv_rows
from ghostexp.results.table import build_report

if TYPE_CHECKING:
    from pandas import DataFrame


class Collected:
    """The runs below a folder, at any depth; ValueError where there is none."""

    def __init__(self, folder: Path | str) -> None:
        self.tree = read_tree(folder)

    @property
    def runs(self) -> list[Run]:
        """Each run with its record, its config by dotted keys and its curves."""
        return self.tree.runs

    @cached_property
    def rows(self) -> list[dict[str, Any]]:
        """One row per run, with the columns of report.csv."""
        return csv_rows(build_report(self.tree))

    def to_pandas(self) -> "DataFrame":
        """`rows` as a table; needs pandas (pip install pandas)."""
        import pandas

        return pandas.DataFrame(self.rows)


def collect(folder: Path | str) -> Collected:
    """The runs below a folder, such as outputs/ratio_ablation."""
    return Collected(folder)
