"""A report as Markdown, and as CSV with one line per run and nothing rounded."""

import csv
import io
import re
from collections.abc import Sequence
from typing import Any

from ghostexp.results.circumstances import circumstances
from ghostexp.results.collect import Run
from ghostexp.results.columns import no_difference, published
from ghostexp.results.repeats import FOLD
from ghostexp.results.rows import Row
from ghostexp.results.standing import summary, unfinished
from ghostexp.results.table import Report
from ghostexp.results.text import one_line, table_row


def to_markdown(report: Report, pictures: dict[str, str]) -> str:
    """Table, notes, unfinished runs, circumstances; `pictures` are file names by their title."""
    headers = [_cell(column.header) for column in report.columns]
    rules = ["---:" if column.is_number else "---" for column in report.columns]
    cells = zip(*(column.cells for column in report.columns), strict=True)
    lines = [f"## {_cell(report.title)}", "", _cell(summary(report.tree)), ""]
    lines += [table_row(headers), table_row(rules), *(table_row(map(_cell, row)) for row in cells)]
    for number, note in enumerate(report.notes, 1):
        lines += ["", f"[{number}] {_cell(note)}"]
    lines += _section("Recipes", ["run", "folder", "what tells it apart"], report.legend)
    lines += _section(
        "Without a result",
        ["run", "status", "progress", "error"],
        unfinished(report.tree, report.rows),
    )
    if report.tree.unreadable:
        lines += ["", "### Unreadable files", ""]
        lines += [f"- {_cell(problem)}" for problem in report.tree.unreadable]
    for title, file_name in pictures.items():
        lines += ["", f"![{title}]({file_name})"]
    lines += ["", "### Circumstances", ""]
    for fact, values in circumstances(report.tree.runs).items():
        lines += [f"- {fact}: {_cell(text)}" for text in values]
    return "\n".join(lines) + "\n"


def to_csv(report: Report) -> str:
    """One line per run, also of those without a result; metrics as they were logged."""
    rows = csv_rows(report)
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return buffer.getvalue()


def csv_rows(report: Report) -> list[dict[str, Any]]:
    """The lines of `to_csv` by column; None where a run has no such metric."""
    runs = [(row, run) for row in report.rows for run in row.runs]
    facts = [_facts(report, row, run) for row, run in runs]
    metrics = sorted({name for _, run in runs for name in run.record["metrics"]} - facts[0].keys())
    return [
        fact | {name: run.record["metrics"].get(name) for name in metrics}
        for (_, run), fact in zip(runs, facts, strict=True)
    ]


def _facts(report: Report, row: Row, run: Run) -> dict[str, object]:
    record = run.record
    paper = published(row, report.metric)
    ours = Row({}, [run]).share(report.metric)
    difference = None
    if ours and paper and not no_difference(row, paper):
        difference = ours.mean - paper.percent
    return {
        "run": run.label,
        **{key: run.value(key) for key in report.keys},
        "seed": run.value("seed"),
        **({FOLD: run.value(FOLD)} if _has_folds(report) else {}),
        "status": run.status,
        "params": record["network"].get("params"),
        "macs": record["network"].get("macs"),
        "selected_by": record["selected"].get("rule"),
        "paper_percent": paper.percent if paper else None,
        "paper_epochs": paper.epochs if paper else None,
        "difference_points": difference,
        "images_per_s": run.images_per_s,
        "latency_ms": record.get("latency_ms"),
        "wall_s": record.get("wall_s"),
        "epochs": record.get("epochs"),
        "error": run.last_line_of_error,
    }


def _has_folds(report: Report) -> bool:
    return any(run.value(FOLD) is not None for run in report.tree.runs)


def _section(title: str, headers: list[str], rows: Sequence[tuple[str, ...]]) -> list[str]:
    """A table below a heading; nothing without rows."""
    if not rows:
        return []
    lines = ["", f"### {title}", "", table_row(headers), table_row(["---"] * len(headers))]
    return lines + [table_row(map(_cell, row)) for row in rows]


def _cell(text: str) -> str:
    """`text` on one line, with what Markdown or HTML would interpret taken literally."""
    text = re.sub(r"([\\`*_\[\]|~$])", r"\\\1", one_line(text))
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
