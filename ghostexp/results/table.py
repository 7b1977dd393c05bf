"""Rows -> the table of a report, as text: name, result, the paper's, costs, in this order."""

from dataclasses import dataclass

from ghostexp.results.collect import Tree
from ghostexp.results.columns import (
    Column,
    Notes,
    accuracy_columns,
    cost_columns,
    key_columns,
    label_column,
    paper_columns,
    unequal_columns,
)
from ghostexp.results.names import primary_metric
from ghostexp.results.rows import MOST_KEYS, Row, make_rows
from ghostexp.results.standing import status
from ghostexp.results.text import show


@dataclass(frozen=True)
class Report:
    """What every output format shows."""

    tree: Tree
    keys: list[str]
    rows: list[Row]
    metric: str
    columns: list[Column]
    notes: list[str]
    legend: list[tuple[str, str, str]]  # label, folder, what tells it; of mixed recipes

    @property
    def title(self) -> str:
        return self.tree.root.resolve().name.encode("utf-8", "backslashreplace").decode()


def build_report(tree: Tree) -> Report:
    """Group the runs of a tree into rows and fill the table."""
    keys, rows = make_rows(tree.runs)
    metric = primary_metric(name for run in tree.runs for name in run.record["metrics"])
    notes = Notes()
    is_mixed = len(keys) > MOST_KEYS
    columns = [
        *([label_column(rows)] if is_mixed else key_columns(keys, rows)),
        *accuracy_columns(rows, metric, notes),
        *paper_columns(rows, metric, notes),
        *unequal_columns(keys, rows, metric),
        *cost_columns(rows, notes),
        Column("status", [status(row) for row in rows], rank=2, is_number=False),
    ]
    columns = [column for column in columns if column.rank <= 1 or any(column.cells)]
    legend = [(row.label, row.folder, _recipe(row)) for row in rows] if is_mixed else []
    return Report(tree, keys, rows, metric, columns, notes.texts, legend)


def _recipe(row: Row) -> str:
    """`model=vgg16, optimizer.lr=0.1`: the known values of all keys that tell rows apart."""
    known = {key: value for key, value in row.values.items() if value is not None}
    return ", ".join(f"{key}={show(value)}" for key, value in known.items())
