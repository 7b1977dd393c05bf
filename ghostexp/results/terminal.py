"""A report in the terminal: numbers stay whole, and columns that find no room are left out."""

from collections.abc import Iterable
from dataclasses import replace

from rich.cells import cell_len
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from ghostexp.results.columns import Column, label_column
from ghostexp.results.standing import summary, unfinished
from ghostexp.results.table import Report
from ghostexp.results.text import cut_apart

STATUS_STYLES = {"failed": "bold red", "interrupted": "yellow", "running": "cyan"}
USUAL_NAME = 30  # characters, or a third of the width, for a cell that names a row
SHORTEST_NAME = 8
FRAME = 3  # a column's share of the lines and blanks between columns, in characters
MOST_RECIPES = 20  # more of them are only in the files


def to_terminal(report: Report, width: int) -> RenderableType:
    """Table for rich, `width` characters wide; texts from records are never read as markup."""
    others = [column for column in report.columns if column.rank]
    named = [*_names(report, width, _least(others[0])), *others]
    shown = _that_fit(named, width)
    parts: list[RenderableType] = [_table(report, shown, width)]
    if left_out := [column.header for column in named if column not in shown]:
        parts.append(Text(f"No room here for: {'; '.join(left_out)}. report.html has all columns."))
    parts += [Text(f"[{number}] {note}") for number, note in enumerate(report.notes, 1)]
    parts += _legend(report, named[0].cells)
    for run, status, progress, error in unfinished(report.tree, report.rows):
        details = ", ".join(part for part in (status, progress) if part)
        line = f"{run}: {details}" + (f": {error}" if error else "")
        parts.append(Text(line, STATUS_STYLES.get(status, "")))
    return Group(*parts, *unreadable(report.tree.unreadable))


def unreadable(problems: Iterable[str]) -> list[Text]:
    """A line for each problem, of any width: a terminal breaks it so that a path can be copied."""
    return [
        Text(f"unreadable: {problem}", "bold red", no_wrap=True, overflow="ignore")
        for problem in problems
    ]


def _names(report: Report, width: int, result: int) -> list[Column]:
    """The columns that name a row; one column of cut labels where they take half of the width.

    Beside them there must be room for the `result`, whose column needs so many characters.
    """
    columns = [column for column in report.columns if column.rank == 0]
    if sum(map(_least, columns)) > width // 2:
        columns = [label_column(report.rows)]
    room = max(SHORTEST_NAME, min(max(USUAL_NAME, width // 3), width - 1 - result - FRAME))
    return [replace(column, cells=cut_apart(column.cells, room)) for column in columns]


def _that_fit(columns: list[Column], width: int) -> list[Column]:
    """The columns that fit: those with the highest rank are left out first; two always stay."""
    shown = list(columns)
    while sum(map(_least, shown)) + 1 > width and len(shown) > 2:
        shown.remove(max(shown, key=lambda column: column.rank))
    return shown


def _table(report: Report, columns: list[Column], width: int) -> Table:
    table = Table(title=Text(f"{report.title}: {summary(report.tree)}"), title_justify="left")
    spare = width - 1 - sum(map(_least, columns))
    for column in columns:
        more = max(0, min(spare, _most(column) - _least(column)))
        spare -= more
        table.add_column(
            Text(column.header),
            justify="right" if column.is_number else "left",
            width=_least(column) + more - FRAME,
        )
    for cells in zip(*(column.cells for column in columns), strict=True):
        pairs = zip(columns, cells, strict=True)
        table.add_row(*(Text(cell, _style(column, cell)) for column, cell in pairs))
    return table


def _style(column: Column, cell: str) -> str:
    if column.header != "status":
        return ""
    return next((style for word, style in STATUS_STYLES.items() if word in cell), "")


def _least(column: Column) -> int:
    """Characters that keep words whole, and whole cells where they are numbers or names."""
    is_whole = column.is_number or column.rank == 0
    texts = [word for text in column.cells for word in ([text] if is_whole else text.split())]
    return max(map(cell_len, [*column.header.split(), *texts])) + FRAME


def _most(column: Column) -> int:
    """Characters in which nothing wraps."""
    return max(map(cell_len, [column.header, *column.cells])) + FRAME


def _legend(report: Report, names: list[str]) -> list[RenderableType]:
    """What the names in the table's first column stand for."""
    if len(report.legend) > MOST_RECIPES:
        return [Text(f"report.html names these {len(report.legend)} rows in full, in this order.")]
    entries = zip(names, report.legend, strict=False)  # no entry where the recipes are not mixed
    return [Text(f"{name}: {recipe} ({folder})") for name, (_, folder, recipe) in entries]
