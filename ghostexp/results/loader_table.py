"""What `ghostexp benchmark loader --out DIR` writes: passes over photos, with every round."""

from pathlib import Path
from statistics import median

from ghostexp.results.latency_file import Measured, write_measured
from ghostexp.results.text import quoted, table_row
from ghostexp.results.wording import counted

HEADS = (
    *("loader", "images/s [rounds]", "images per CPU second [rounds]"),
    *("times as fast as the faster of the first two: per second", "per CPU second", "memory, MiB"),
)
OTHERS = 2  # the rows of a setting that ours are compared with come first


def write_loaders(document: Measured, folder: Path) -> list[Path]:
    """loader.json with what each round took, and loader.md."""
    return write_measured(document, folder, "loader", to_markdown(document))


def to_markdown(document: Measured) -> str:
    """A table per number of workers; a row has the fields of loader_times.Measured."""
    lines = [f"{document['circumstances']}; {document['measured']}"]
    lines += ["", f"    {quoted(document['command'])}"]
    for workers in dict.fromkeys(row["workers"] for row in document["rows"]):
        rows = [row for row in document["rows"] if row["workers"] == workers]
        first = rows[0]
        title = f"{counted(workers, 'worker')}, batches of {first['batch_size']}"
        lines += ["", f"**{title}, {first['images']:,} photos**", "", table_row(HEADS)]
        lines += [table_row(["---", *["---:"] * (len(HEADS) - 1)])]
        lines += [table_row(_cells(row, rows)) for row in rows]
    return "\n".join(lines) + "\n"


def gain(row: Measured, rows: list[Measured], what: str) -> float:
    """How many times as fast a row is as the faster of the others in `seconds` or `cpu_seconds`."""
    return min(median(other[what]) for other in rows[:OTHERS]) / median(row[what])


def rate(row: Measured, what: str) -> float:
    """Images per `seconds`, or per `cpu_seconds`, by the median of the rounds."""
    return row["images"] / median(row[what])


def _cells(row: Measured, rows: list[Measured]) -> list[str]:
    kinds = ("seconds", "cpu_seconds")
    gains = [f"**{gain(row, rows, what):.2f}**" for what in kinds]
    return [
        row["loader"],
        *(_rates(row, what) for what in kinds),
        *(["", ""] if row in rows[:OTHERS] else gains),
        f"{median(row['rss_bytes']) / 2**20:,.0f}",
    ]


def _rates(row: Measured, what: str) -> str:
    rates = [row["images"] / seconds for seconds in row[what]]
    return f"{rate(row, what):,.0f} [{min(rates):,.0f}-{max(rates):,.0f}]"
