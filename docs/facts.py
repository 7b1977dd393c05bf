"""Numbers for the pages of docs/: what the records in outputs/published say, as text.

A run is named by its path below outputs/published, such as `fsdd_alone/seed0`.
"""

import csv
import re
from collections.abc import Sequence
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any

from scipy.stats import ttest_ind

from ghostexp.results.circumstances import circumstances as circumstances_of
from ghostexp.results.collect import Run, collect, read_run
from ghostexp.results.columns import spread
from ghostexp.results.paper import PUBLISHED as PAPERS
from ghostexp.results.rows import Row
from ghostexp.results.table import Report, build_report

ROOT = Path(__file__).resolve().parents[1]
PUBLISHED = ROOT / "outputs" / "published"
NUMBER = re.compile(r"[-−+]?[\d.,]+( ± [\d.]+)?( \(\d+\))?( \[[\d.,-]+\])?( [%s])?|[\d:]+|")
MARK = re.compile(r" \[\d+\]")  # of a report's footnote
MINUS = str.maketrans("-", "−")


@cache
def report(folder: str) -> Report:
    """The report of a published folder."""
    return build_report(collect(PUBLISHED / folder))


@cache
def run(path: str) -> Run:
    """One published run."""
    return read_run(PUBLISHED / path)


def row(folder: str, first: str) -> Row:
    """The row of a report whose first run lies in the subfolder `first`."""
    return next(each for each in report(folder).rows if each.runs[0].label == first)


def share(path: str, metric: str = "test/acc", digits: int = 2) -> str:
    """A metric of a run in percent."""
    return f"{100 * run(path).record['metrics'][metric]:.{digits}f}"


def loss_of(path: str, than: str, digits: int = 1, metric: str = "test/acc") -> str:
    """How many points a run lies below another run."""
    first, second = (run(each).record["metrics"][metric] for each in (path, than))
    return f"{100 * (second - first):.{digits}f}"


def network(path: str, what: str) -> int:
    """`macs` or `params` of a run's network."""
    return run(path).record["network"][what]


def seconds(path: str) -> int:
    """What a run took."""
    return round(run(path).record["wall_s"])


def circumstances(folder: str) -> str:
    """Days, device, precision, versions and revision of the runs in a folder, as a list."""
    runs = report(folder).tree.runs
    days = sorted(each.record["started"][:10] for each in runs)
    facts = {"started": [" to ".join(sorted({days[0], days[-1]}))], **circumstances_of(runs)}
    wanted = ("started", "device", "precision", "epochs", "versions", "git")
    return "\n".join(f"- {fact}: {'; '.join(facts[fact])}" for fact in wanted if fact in facts)


def table(
    folder: str,
    columns: Sequence[str],
    names: dict[str, Any] | None = None,
    heads: Sequence[str] = (),
) -> str:
    """Columns of a report, each named by the start of its header.

    `names` gives, for the subfolder of each row in the wanted order, what stands before the
    columns, below `heads`.
    """
    made = report(folder)
    chosen = [next(c for c in made.columns if c.header.startswith(want)) for want in columns]
    order = {each.runs[0].label: number for number, each in enumerate(made.rows)}
    cells = []
    for first, before in (names or dict.fromkeys(order, ())).items():
        before = [before] if isinstance(before, str) else before
        cells.append([*before, *(column.cells[order[first]] for column in chosen)])
    return markdown([[*heads, *(column.header for column in chosen)], *cells])


def seeds(folder: str, first: str, metric: str = "test/acc") -> list[float]:
    """A metric of each run of a row, in percent."""
    return [100 * each.record["metrics"][metric] for each in row(folder, first).runs]


def seed_table(folder: str, firsts: Sequence[str]) -> str:
    """The test accuracy of each seed, a row for each row of the report; a dash for no run."""
    found = [seeds(folder, first) for first in firsts]
    count = max(map(len, found))
    heads = ["model", *(f"seed {number}, %" for number in range(count))]
    rows = [
        [str(row(folder, first).values["model"]), *(f"{value:.2f}" for value in values)]
        for first, values in zip(firsts, found, strict=True)
    ]
    return markdown([heads, *(each + ["–"] * (count + 1 - len(each)) for each in rows)])


def largest_step(folder: str) -> str:
    """The largest difference in test accuracy between neighbouring rows, in points."""
    values = [each.share("test/acc").mean for each in report(folder).rows]
    return f"{max(abs(a - b) for a, b in pairwise(values)):.1f}"


def mean(folder: str, first: str) -> str:
    """`87.26 ± 0.10`: test accuracy of a row over its seeds."""
    return spread(row(folder, first).share("test/acc")).partition(" (")[0]


def costs(folder: str, first: str) -> list[str]:
    """Parameters and MACs in millions, test accuracy and number of seeds of a row, as cells."""
    sizes = [network(f"{folder}/{first}", what) / 1e6 for what in ("params", "macs")]
    count = len(seeds(folder, first))
    return [f"{sizes[0]:.3f}", f"{sizes[1]:.2f}", mean(folder, first), str(count)]


def tested(folder: str, first: str) -> list[str]:
    """Training images of a row's first run and the epoch whose weights were tested, as cells."""
    record = run(f"{folder}/{first}").record
    images, epoch = record["dataset"]["num_train"], record["selected"]["epoch"]
    return [f"{images:,}", f"{epoch} of {record['epochs']}"]


def difference(folder: str, first: str, second: str, than: str | None = None) -> list[str]:
    """Difference of the means of two rows, and Welch's 95 % interval.

    `than` is the folder of the second row, where it is another folder.
    """
    ours, theirs = seeds(folder, first), seeds(than or folder, second)
    low, high = ttest_ind(ours, theirs, equal_var=False).confidence_interval(0.95)
    points = sum(ours) / len(ours) - sum(theirs) / len(theirs)
    return told_difference(points, low, high)


def told_difference(points: float, low: float, high: float) -> list[str]:
    """A difference and its interval, as two cells of a table."""
    return [signed(points), f"{signed(low)} to {signed(high)}"]


def signed(points: float) -> str:
    """A difference with its sign, where a minus is as long as a plus."""
    return f"{points:+.2f}".translate(MINUS)


def first_of(path: str, metric: str) -> str:
    """The first value of a curve, in percent."""
    curve = run(path).curves[metric]
    return f"{100 * curve[min(curve)]:.1f}"


def any_network() -> str:
    """The head of the table over many networks: the shares, and why layers stay."""
    text = (PUBLISHED / "any_network" / "report.md").read_text()
    return text.partition("\n")[2].partition("\n| network ")[0].strip()  # without its title


@cache
def transcribed(name: str) -> list[list[str]]:
    """A table that was copied from a terminal into outputs/published/transcribed."""
    with (PUBLISHED / "transcribed" / f"{name}.csv").open(newline="") as file:
        return list(csv.reader(file))


def cell(name: str, first: str, column: int) -> str:
    """A cell of a transcribed table, by its row's first cell."""
    return next(each[column] for each in transcribed(name) if each[0] == first)


def number(what: str) -> str:
    """A number without a record, from transcribed/numbers.csv."""
    return cell("numbers", what, 1)


def paper(factory: str, **settings: Any) -> str:
    """The accuracy that a paper prints, in percent."""
    found = [
        each
        for each in PAPERS
        if each.factory == factory and settings.items() <= each.settings.items()
    ]
    return f"{found[0].percent:.1f}"


def choice_rows(choices: dict[str, str]) -> list[list[str]]:
    """The choices of a config group and their lines, as rows of a table."""
    return [[f"`{choice}`", line.replace("|", "\\|")] for choice, line in choices.items()]


def command_rows(commands: dict[str, str]) -> list[list[str]]:
    """The commands and their lines, as rows of a table."""
    return [[f"`ghostexp {command}`", line.partition(":")[0]] for command, line in commands.items()]


def markdown(rows: Sequence[Sequence[str]]) -> str:
    """A table with its header; columns of numbers stand at the right."""
    columns = list(zip(*rows[1:], strict=True))
    rules = ["---:" if all(map(NUMBER.fullmatch, column)) else "---" for column in columns]
    lines = [[MARK.sub("", text) for text in rows[0]], rules, *rows[1:]]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
