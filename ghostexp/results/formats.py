"""A report as Markdown, as CSV (a line a run, nothing rounded) and in the terminal."""

import csv
import io
import re

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from ghostexp.results.collect import Run
from ghostexp.results.rows import Row
from ghostexp.results.table import Report, circumstances, published, summary, unfinished

STATUS_STYLES = {"failed": "bold red", "interrupted": "yellow", "running": "cyan"}


def to_markdown(report: Report, pictures: dict[str, str]) -> str:
    """Table, notes, unfinished runs, circumstances; `pictures` are file names by their title."""
    headers = [_cell(column.header) for column in report.columns]
    rules = ["---:" if column.is_number else "---" for column in report.columns]
    cells = zip(*(column.cells for column in report.columns), strict=True)
    lines = [f"## {_cell(report.title)}", "", _cell(summary(report)), ""]
    lines += [_line(headers), _line(rules), *(_line(map(_cell, row)) for row in cells)]
    for number, note in enumerate(report.notes, 1):
        lines += ["", f"[{number}] {_cell(note)}"]
    if rest := unfinished(report):
        lines += ["", "### Without a result", ""]
        lines += [_line(["run", "status", "progress", "error"]), _line(["---"] * 4)]
        lines += [_line(map(_cell, entry)) for entry in rest]
    if report.tree.unreadable:
        lines += ["", "### Unreadable records", ""]
        lines += [f"- {_cell(problem)}" for problem in report.tree.unreadable]
    for title, file_name in pictures.items():
        lines += ["", f"![{title}]({file_name})"]
    lines += ["", "### Circumstances", ""]
    for fact, values in circumstances(report).items():
        lines += [f"- {fact}: {_cell(text)}" for text in counted(values)]
    return "\n".join(lines) + "\n"


def to_csv(report: Report) -> str:
    """One line a run, also of those without a result; metrics as they were logged."""
    runs = [(row, run) for row in report.rows for run in row.runs]
    facts = [_facts(report, row, run) for row, run in runs]
    metrics = sorted({name for _, run in runs for name in run.record["metrics"]} - facts[0].keys())
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, [*facts[0], *metrics], restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows(
        run.record["metrics"] | fact for (_, run), fact in zip(runs, facts, strict=True)
    )
    return buffer.getvalue()


def to_terminal(report: Report) -> RenderableType:
    """Table for rich; texts from records are never read as markup."""
    table = Table(title=Text(f"{report.title}: {summary(report)}"), title_justify="left")
    for column in report.columns:
        table.add_column(
            Text(column.header),
            justify="right" if column.is_number else "left",
            overflow="fold",
            no_wrap=column.header == "status",
        )
    for cells in zip(*(column.cells for column in report.columns), strict=True):
        status = next((style for word, style in STATUS_STYLES.items() if word in cells[-1]), "")
        table.add_row(*map(Text, cells[:-1]), Text(cells[-1], status))
    parts: list[RenderableType] = [table]
    parts += [Text(f"[{number}] {note}") for number, note in enumerate(report.notes, 1)]
    for run, status, progress, error in unfinished(report):
        details = ", ".join(part for part in (status, progress) if part)
        line = f"{run}: {details}" + (f": {error}" if error else "")
        parts.append(Text(line, STATUS_STYLES.get(status, "")))
    parts += [Text(f"unreadable: {problem}", "bold red") for problem in report.tree.unreadable]
    return Group(*parts)


def counted(values: dict[str, int]) -> list[str]:
    """`value (3 runs)` for each value; the value alone if there is no other."""
    if len(values) == 1:
        return list(values)
    return [f"{value} ({count} run{'s' if count > 1 else ''})" for value, count in values.items()]


def _facts(report: Report, row: Row, run: Run) -> dict[str, object]:
    record = run.record
    paper = published(row, report.metric)
    ours = Row({}, [run]).share(report.metric)
    return {
        "run": run.label,
        **{key: run.value(key) for key in report.keys},
        "seed": run.value("seed"),
        "status": run.status,
        "params": record["network"].get("params"),
        "macs": record["network"].get("macs"),
        "selected_by": record["selected"].get("rule"),
        "paper_percent": paper.percent if paper else None,
        "difference_points": ours.mean - paper.percent if ours and paper else None,
        "images_per_s": record.get("throughput"),
        "latency_ms": record.get("latency_ms"),
        "wall_s": record.get("wall_s"),
        "epochs": record.get("epochs"),
        "error": run.last_line_of_error,
    }


def _line(cells: object) -> str:
    return f"| {' | '.join(cells)} |"


def _cell(text: str) -> str:
    """`text` on one line, with what Markdown or HTML would interpret taken literally."""
    text = re.sub(r"([\\`*_\[\]|~$])", r"\\\1", " ".join(text.split()))
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
