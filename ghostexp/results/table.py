"""Rows -> the table of a report, as text: what was swept, size, accuracy ours and the paper's."""

from dataclasses import dataclass
from typing import Any

from ghostexp.results.collect import Run, Tree, as_number, read_curves
from ghostexp.results.paper import Published, caveat, find_published
from ghostexp.results.rows import (
    Estimate,
    Row,
    axis_name,
    count_statuses,
    labels,
    make_rows,
    primary_metric,
    show,
)


@dataclass(frozen=True)
class Column:
    """Header and one cell a row; numbers are set flush right."""

    header: str
    cells: list[str]
    is_number: bool = True


@dataclass(frozen=True)
class Report:
    """What every output format shows."""

    tree: Tree
    keys: list[str]
    rows: list[Row]
    metric: str
    columns: list[Column]
    notes: list[str]

    @property
    def title(self) -> str:
        return self.tree.root.resolve().name


def build_report(tree: Tree) -> Report:
    """Group the runs of a tree into rows and fill the table."""
    keys, rows = make_rows(tree.runs)
    metric = primary_metric(tree.runs)
    notes = Notes()
    columns = [
        *_swept_columns(keys, rows),
        Column("params, M", [_millions(row.network("params"), 3) for row in rows]),
        Column("MACs, M (multiply-adds)", [_millions(row.network("macs"), 2) for row in rows]),
        *_accuracy_columns(rows, metric, notes),
        *_map50_columns(rows, metric),
        Column("images/s (training)", [_mean(row, "throughput", "{:,.0f}") for row in rows]),
        _latency_column(rows, notes),
        Column("wall time", [duration(row.estimate(_wall)) for row in rows]),
        Column("status", [status(row) for row in rows], is_number=False),
    ]
    if not any(columns[-3].cells):
        del columns[-3]  # nobody measured a latency
    return Report(tree, keys, rows, metric, columns, notes.texts)


class Notes:
    """Footnotes in the order of their first mention."""

    def __init__(self) -> None:
        self.texts: list[str] = []

    def mark(self, text: str) -> str:
        """` [1]`, the mark of the footnote `text`."""
        if text not in self.texts:
            self.texts.append(text)
        return f" [{self.texts.index(text) + 1}]"


def published(row: Row, metric: str) -> Published | None:
    """The paper's figure for a row."""
    run = row.runs[0]
    class_names = row.known(lambda run: run.record["dataset"].get("class_names"))
    return find_published(run.value, class_names, metric)


def summary(report: Report) -> str:
    """`20 runs: 18 finished, 1 running, 1 failed; 2 jobs not started; 1 unreadable`."""
    counts = count_statuses(report.tree.runs)
    total = len(report.tree.runs)
    text = f"{total} run{'s' if total > 1 else ''}: "
    text += ", ".join(f"{count} {name}" for name, count in counts.items())
    if waiting := len(report.tree.not_started):
        text += f"; {waiting} job{'s' if waiting > 1 else ''} not started"
    if bad := len(report.tree.unreadable):
        text += f"; {bad} record{'s' if bad > 1 else ''} unreadable"
    return text


def unfinished(report: Report) -> list[tuple[str, str, str, str]]:
    """(run, status, how far it came, last line of the error) of all that gave no result."""
    lines = [
        (run.label, run.status, progress(run), run.last_line_of_error)
        for row in report.rows
        for run in row.runs
        if not run.finished
    ]
    lines += [(job, "not started", "", "") for job in report.tree.not_started]
    return lines


def circumstances(report: Report) -> dict[str, dict[str, int]]:
    """Fact -> its values -> number of runs that have it; what a result depends on."""
    facts: dict[str, dict[str, int]] = {}
    for run in report.tree.runs:
        for fact, value in _circumstances(run).items():
            if value:
                values = facts.setdefault(fact, {})
                values[str(value)] = values.get(str(value), 0) + 1
    return facts


def progress(run: Run) -> str:
    """`epoch 3 of 15`, from the record or, before its end, from the logged metrics."""
    logged = [epoch + 1 for curve in read_curves(run.directory).values() for epoch in curve]
    done = run.record.get("epochs") or max(logged, default=0)
    total = run.record.get("max_epochs")
    return f"{done:g} of {total:g} epochs" if total else f"{done:g} epochs"


def status(row: Row) -> str:
    """One run's status, or how many of a row's runs have which."""
    counts = count_statuses(row.runs)
    if len(row.runs) > 1:
        return ", ".join(f"{count} {name}" for name, count in counts.items())
    (run,) = row.runs
    return f"running, {progress(run)}" if run.status == "running" else run.status


def duration(seconds: Estimate | None) -> str:
    """Mean duration as h:mm:ss."""
    if seconds is None:
        return ""
    minutes, rest = divmod(round(seconds.mean), 60)
    return f"{minutes // 60}:{minutes % 60:02}:{rest:02}"


def spread(value: Estimate | None) -> str:
    """`92.10 ± 0.21 (3)`: mean, standard deviation and number; the mean alone where n = 1."""
    if value is None:
        return ""
    digits = 2 if abs(value.mean) >= 1 else 4
    if value.std is None:
        return f"{value.mean:.{digits}f}"
    return f"{value.mean:.{digits}f} ± {value.std:.{digits}f} ({value.n})"


def _swept_columns(keys: list[str], rows: list[Row]) -> list[Column]:
    columns = []
    for key in keys:
        values = [row.swept[key] for row in rows]
        are_numbers = all(value is None or as_number(value) is not None for value in values)
        columns.append(Column(key, [show(value) for value in values], are_numbers))
    if any(row.name != label for row, label in zip(rows, labels(rows), strict=True)):
        columns.append(Column("run", [row.folder for row in rows], is_number=False))
    return columns


def _accuracy_columns(rows: list[Row], metric: str, notes: Notes) -> list[Column]:
    ours = [row.share(metric) for row in rows]
    rules = [row.known(_rule) if row.metric(metric) else None for row in rows]
    distinct = {rule for rule in rules if rule}
    header = ", ".join([axis_name(metric), *(distinct if len(distinct) == 1 else ())])
    if any(estimate and estimate.std is not None for estimate in ours):
        header += notes.mark("mean ± sample standard deviation (number of seeds)")
    columns = [Column(header, [spread(estimate) for estimate in ours])]
    if len(distinct) > 1:
        columns.append(Column("selected by", [rule or "" for rule in rules], is_number=False))
    papers = [published(row, metric) for row in rows]
    if not any(papers):
        notes.mark("no published figure belongs to these runs, so there is no column for one")
        return columns
    cells = [_paper_cell(row, paper, notes) for row, paper in zip(rows, papers, strict=True)]
    columns.append(Column("paper, %", cells))
    differences = [
        f"{mine.mean - paper.percent:+.2f}".replace("-", "−") if mine and paper else ""
        for mine, paper in zip(ours, papers, strict=True)
    ]
    columns.append(Column("difference, points", differences))
    return columns


def _map50_columns(rows: list[Row], metric: str) -> list[Column]:
    """Of detectors: what data sets other than COCO are usually reported by."""
    if metric != "test/map":
        return []
    name = "test/map_50"
    return [Column(axis_name(name), [spread(row.share(name)) for row in rows])]


def _latency_column(rows: list[Row], notes: Notes) -> Column:
    """Footnotes say of what: alike for all rows in the header, else in each cell."""
    cells = [_mean(row, "latency_ms", "{:.2f}") for row in rows]
    facts = [row.known(lambda run: run.record.get("latency_of")) for row in rows]
    marks = [notes.mark(fact) if fact else "" for fact in facts]
    if len(set(marks) - {""}) == 1:
        return Column("latency, ms" + max(marks), cells)
    return Column("latency, ms", list(map("".join, zip(cells, marks, strict=True))))


def _paper_cell(row: Row, paper: Published | None, notes: Notes) -> str:
    if paper is None:
        return ""
    cell = f"{paper.percent:.1f}{notes.mark(paper.source)}"
    num_train = row.known(lambda run: run.record["dataset"].get("num_train"))
    if reason := caveat(row.runs[0].value("dataset"), num_train):
        cell += notes.mark(reason)
    return cell


def _circumstances(run: Run) -> dict[str, Any]:
    record = run.record
    data = " ".join(str(x) for x in (run.value("dataset"), record["dataset"].get("root")) if x)
    num_train = record["dataset"].get("num_train")
    revision = str(record["git"].get("revision") or "")[:12]
    return {
        "device": record.get("device"),
        "precision": record.get("precision"),
        "data": data + (f", {num_train} training examples" if num_train else ""),
        "epochs": show(record.get("max_epochs")),
        "versions": ", ".join(f"{name} {number}" for name, number in record["versions"].items()),
        "git": revision + (" with uncommitted changes" if record["git"].get("dirty") else ""),
        "command": record.get("command"),
    }


def _millions(count: int | None, digits: int) -> str:
    return "" if count is None else f"{count / 1e6:.{digits}f}"


def _mean(row: Row, key: str, pattern: str) -> str:
    estimate = row.estimate(lambda run: run.record.get(key))
    return "" if estimate is None else pattern.format(estimate.mean)


def _wall(run: Run) -> float | None:
    return run.record.get("wall_s")


def _rule(run: Run) -> str | None:
    return run.record["selected"].get("rule")
