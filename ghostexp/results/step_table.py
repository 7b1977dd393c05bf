"""What `ghostexp benchmark steps --out DIR` writes: training steps, with every round."""

from pathlib import Path
from statistics import median

from ghostexp.results.latency_file import Measured, write_measured
from ghostexp.results.text import quoted, table_row

NO_TIME = "none"


def write_steps(document: Measured, folder: Path) -> list[Path]:
    """steps.json with the seconds of each round, and steps.md."""
    return write_measured(document, folder, "steps", to_markdown(document))


def to_markdown(document: Measured) -> str:
    """A table per setting: images/s of each form, and how it stands beside torch and its twin.

    A row of the document is one network in one form: `network`, `reference` (the network it is
    compared with), `form`, `setting` (batch, threads, precision, in words), `batch_size` and
    `seconds` (one value per round).
    """
    lines = [f"{document['circumstances']}; {document['measured']}"]
    lines += ["", f"    {quoted(document['command'])}"]
    for setting in dict.fromkeys(row["setting"] for row in document["rows"]):
        chosen = [row for row in document["rows"] if row["setting"] == setting]
        lines += ["", f"**{setting}**", "", *_table(chosen)]
    return "\n".join(lines) + "\n"


def _table(rows: list[Measured]) -> list[str]:
    forms = list(dict.fromkeys(row["form"] for row in rows))
    by_place = {(row["network"], row["form"]): row for row in rows}
    heads = ["network", *(f"{form}, images/s [rounds]" for form in forms)]
    heads += [f"{forms[-1]} / fastest other form [rounds]", f"{forms[-1]} / twin in the same form"]
    lines = [table_row(heads), table_row(["---", *["---:"] * (len(heads) - 1)])]
    for network in dict.fromkeys(row["network"] for row in rows):
        own = [by_place.get((network, form)) for form in forms]
        lines.append(table_row([network, *map(_speed, own), *_ratios(own, by_place)]))
    return lines


def _speed(row: Measured | None) -> str:
    if row is None:
        return NO_TIME
    speeds = [row["batch_size"] / seconds for seconds in row["seconds"]]
    middle = row["batch_size"] / median(row["seconds"])
    return f"{middle:,.0f} [{min(speeds):,.0f}-{max(speeds):,.0f}]"


def _ratios(
    own: list[Measured | None], by_place: dict[tuple[str, str], Measured]
) -> tuple[str, str]:
    """The last form beside the fastest other one, and beside the reference in the last form."""
    last = own[-1]
    if last is None:
        return NO_TIME, NO_TIME
    others = [row for row in own[:-1] if row is not None]
    fastest = min(others, key=lambda row: median(row["seconds"]))
    twin = by_place.get((last["reference"], last["form"]))
    is_twin = twin is None or twin is last
    return _ratio(fastest, last), "" if is_twin else f"{_ratio(twin, last)} {twin['network']}"


def _ratio(slower: Measured, faster: Measured) -> str:
    """How many times as fast, by the medians; smallest and largest of a round in brackets."""
    rounds = [a / b for a, b in zip(slower["seconds"], faster["seconds"], strict=True)]
    whole = median(slower["seconds"]) / median(faster["seconds"])
    return f"**{whole:.2f}** [{min(rounds):.2f}-{max(rounds):.2f}]"
