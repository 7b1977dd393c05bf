"""The columns of a report: name, result, the paper's, costs; one cell for each row."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ghostexp.results.collect import Run
from ghostexp.results.keys import METRICS
from ghostexp.results.names import metric_name
from ghostexp.results.paper import Published, caveats, find_published, other_budget
from ghostexp.results.rows import MOST_KEYS, Estimate, Row
from ghostexp.results.text import as_number, show
from ghostexp.results.wording import clock

MANY_CLASSES = 20  # five are a small share of so many: top-5 accuracy says something
UNEQUAL_MACHINES = "not all runs had the same device, threads and precision"


@dataclass(frozen=True)
class Column:
    """Header and one cell per row; where there is no room, the columns of high rank go first."""

    header: str
    cells: list[str]
    rank: int
    is_number: bool = True


class Notes:
    """Footnotes in the order of their first mention."""

    def __init__(self) -> None:
        self.texts: list[str] = []

    def mark(self, text: str) -> str:
        """` [1]`, the mark of the footnote `text`."""
        if text not in self.texts:
            self.texts.append(text)
        return f" [{self.texts.index(text) + 1}]"


def label_column(rows: list[Row]) -> Column:
    """One column that tells the rows apart."""
    return Column("run", [row.label for row in rows], rank=0, is_number=False)


def published(row: Row, metric: str) -> Published | None:
    """The paper's figure for a row."""
    class_names = row.known(lambda run: run.record["dataset"].get("class_names"))
    return find_published(row.runs[0].value, class_names, metric)


def no_difference(row: Row, paper: Published) -> str | None:
    """Why a row's result is not subtracted from the paper's; None at the same budget."""
    epochs = row.known(lambda run: run.record.get("max_epochs"))
    num_train = row.known(lambda run: run.record["dataset"].get("num_train"))
    return other_budget(paper, epochs, num_train)


def spread(value: Estimate | None) -> str:
    """`92.10 ± 0.21 (3)`: mean, standard deviation and number; the mean alone where n = 1.

    A number of folds is named as such, `(5 folds)`, also where one fold is known: `(1 of 5 folds)`.
    """
    if value is None:
        return ""
    digits = 2 if abs(value.mean) >= 1 else 4
    text = f"{value.mean:.{digits}f}"
    if value.std is not None:
        text += f" ± {value.std:.{digits}f}"
    if "fold" in value.over:
        return f"{text} ({value.over})"
    return text if value.std is None else f"{text} ({value.n})"


def key_columns(keys: list[str], rows: list[Row]) -> list[Column]:
    columns = []
    for key in keys:
        values = [row.values[key] for row in rows]
        are_numbers = all(value is None or as_number(value) is not None for value in values)
        columns.append(Column(key, [show(value) for value in values], 0, are_numbers))
    if not all(row.is_told for row in rows):
        folders = ["" if row.is_told else row.folder for row in rows]
        columns.append(Column("run", folders, rank=0, is_number=False))
    return columns


def accuracy_columns(rows: list[Row], metric: str, notes: Notes) -> list[Column]:
    """The result, mAP 50 of detectors, further metrics, how epochs were selected if rows differ."""
    ours = [row.share(metric) for row in rows]
    rules = [row.known(_rule) if row.metric(metric) else None for row in rows]
    distinct = {str(rule) for rule in rules if rule}
    header = ", ".join([metric_name(metric), *(distinct if len(distinct) == 1 else ())])
    if any(estimate and estimate.std is not None for estimate in ours):
        header += notes.mark(_what_spread_is(ours))
    columns = [
        Column(header, [spread(estimate) for estimate in ours], rank=1),
        *_fold_columns(rows, metric),
    ]
    if metric == "test/map":  # data sets other than COCO are usually reported by mAP 50
        cells = [spread(row.share("test/map_50")) for row in rows]
        columns.append(Column(metric_name("test/map_50"), cells, rank=4))
    for name in chosen_metrics([run for row in rows for run in row.runs]):
        columns.append(Column(metric_name(name), [spread(row.share(name)) for row in rows], rank=4))
    if len(distinct) > 1:
        columns.append(Column("selected by", [show(rule) for rule in rules], 9, is_number=False))
    return columns


def chosen_metrics(runs: list[Run]) -> list[str]:
    """Test metrics besides the first: the metrics of the configs, and top-5 of many classes."""
    names = [
        key.removeprefix(METRICS).split(".")[0]
        for run in runs
        for key in run.config
        if key.startswith(METRICS)
    ]
    classes = max(len(run.record["dataset"].get("class_names") or []) for run in runs)
    if classes >= MANY_CLASSES:
        names.insert(0, "acc_top5")
    logged = {name for run in runs for name in run.record["metrics"]}
    return [name for name in dict.fromkeys(f"test/{each}" for each in names) if name in logged]


def _what_spread_is(estimates: list[Estimate | None]) -> str:
    if any(estimate and "fold" in estimate.over for estimate in estimates):
        return "mean ± sample standard deviation over the folds or seeds in brackets"
    return "mean ± sample standard deviation (number of seeds)"


def _fold_columns(rows: list[Row], metric: str) -> list[Column]:
    """What was measured on the folds themselves, where they are validation parts."""
    validated = metric.replace("test/", "val/")
    cells = [spread(row.share(validated)) if row.known(_fold_part) == "val" else "" for row in rows]
    name, comma, unit = metric_name(validated).partition(",")
    return [Column(f"{name} of the folds{comma}{unit}", cells, rank=3)] if any(cells) else []


def _fold_part(run: Run) -> Any:
    return run.record["dataset"].get("fold_part")


def paper_columns(rows: list[Row], metric: str, notes: Notes) -> list[Column]:
    """The paper's figure with its budget, and the difference of rows that had the same budget."""
    papers = [published(row, metric) for row in rows]
    budgets = {paper.budget for paper in papers if paper}
    if not budgets:
        notes.mark("no published figure belongs to these runs, so there is no column for one")
        return []
    is_one = len(budgets) == 1
    cells, differences = [], []
    for row, paper in zip(rows, papers, strict=True):
        if paper is None:
            cells.append("")
            differences.append("")
            continue
        reason = no_difference(row, paper)
        remarks = [paper.source, *([reason] if reason else []), *caveats(paper, row.runs[0].value)]
        budget = "" if is_one else f" ({paper.budget})"
        cells.append(f"{paper.percent:.1f}{budget}{''.join(map(notes.mark, remarks))}")
        ours = None if reason else row.share(metric)
        difference = f"{ours.mean - paper.percent:+.2f}" if ours else ""
        differences.append(difference.replace("-", "−"))
    header = f"paper ({budgets.pop()}), %" if is_one else "paper (its budget), %"
    return [Column(header, cells, rank=3), Column("difference, points", differences, rank=4)]


def unequal_columns(keys: list[str], rows: list[Row], metric: str) -> list[Column]:
    """Data set and epochs where results differ in them: such results are no comparison."""
    facts = {
        "dataset": ("dataset", lambda run: run.value("dataset")),
        "trainer.max_epochs": ("epochs", lambda run: run.record.get("max_epochs")),
    }
    columns = []
    for key, (name, fact) in facts.items():
        counted = {show(row.known(fact)) for row in rows if row.metric(metric)}
        if len(counted) > 1 and (len(keys) > MOST_KEYS or key not in keys):
            cells = [show(row.known(fact)) for row in rows]
            columns.append(Column(name, cells, rank=4, is_number=name == "epochs"))
    return columns


def cost_columns(rows: list[Row], notes: Notes) -> list[Column]:
    """Size and multiply-adds of the network, speed of the training, latency and wall time."""
    speeds = _means(rows, lambda run: run.images_per_s, "{:,.0f}".format)
    machines = {_machine(run) for row in rows for run in row.runs if run.images_per_s}
    mark = notes.mark(UNEQUAL_MACHINES) if len(machines) > 1 else ""
    return [
        Column("params, M", [_millions(row.network("params"), 3) for row in rows], rank=6),
        Column("MACs, M", [_millions(row.network("macs"), 2) for row in rows], rank=5),
        Column(f"images/s (training){mark}", speeds, rank=8),
        _latency_column(rows, notes),
        Column(f"wall time{mark}", _means(rows, _wall_s, clock), rank=7),
    ]


def _latency_column(rows: list[Row], notes: Notes) -> Column:
    """Footnotes say of what: in the header if it is the same for all rows, else in each cell."""
    cells = _means(rows, lambda run: run.record.get("latency_ms"), "{:.2f}".format)
    facts = [row.known(lambda run: run.record.get("latency_of")) for row in rows]
    marks = [notes.mark(fact) if fact else "" for fact in facts]
    if len(set(marks) - {""}) == 1:
        return Column("latency, ms" + max(marks), cells, rank=8)
    return Column("latency, ms", list(map("".join, zip(cells, marks, strict=True))), rank=8)


def _millions(count: int | None, digits: int) -> str:
    return "" if count is None else f"{count / 1e6:.{digits}f}"


def _means(
    rows: list[Row], fact: Callable[[Run], float | None], write: Callable[[float], str]
) -> list[str]:
    estimates = [row.estimate(fact) for row in rows]
    return ["" if each is None else write(each.mean) for each in estimates]


def _machine(run: Run) -> str:
    """What the speed of a training depends on besides its config, as text."""
    return run.over_launches(lambda launch: f"{launch.get('device')} {launch.get('precision')}")


def _wall_s(run: Run) -> float | None:
    return run.record.get("wall_s")


def _rule(run: Run) -> Any:
    return run.record["selected"].get("rule")
