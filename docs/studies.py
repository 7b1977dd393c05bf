"""Studies over seeds for the pages of docs/: what a change gives, and what interrupted the runs."""

from facts import markdown, report, row, told_difference
from scipy.stats import ttest_rel

from ghostexp.results.collect import Run
from ghostexp.results.table import spread


def gains(folder: str, names: dict[str, str], base: str, metric: str = "val/acc") -> str:
    """A table over the rows of a report: a metric, and how it differs from the row `base`.

    `names` gives the text for the subfolder of the first run of each row. Runs with the same seed
    are compared, so that the interval is the 95 % interval of Student's t for pairs.
    """
    reference = by_seed(folder, base, metric)
    rows = [["what changes", f"{metric}, %, mean ± deviation", "points", "95 % interval"]]
    for first, name in names.items():
        compared = paired(by_seed(folder, first, metric), reference) if first != base else ["", ""]
        rows.append([name, spread(row(folder, first).share(metric)), *compared])
    return markdown(rows)


def by_seed(folder: str, first: str, metric: str) -> dict[int, float]:
    """A metric of the last epoch of each run of a row, in percent."""
    runs = row(folder, first).runs
    return {run.record["seed"]: 100 * run.record["metrics"][metric] for run in runs}


def paired(values: dict[int, float], reference: dict[int, float]) -> list[str]:
    """The mean difference over the seeds that both have, and its 95 % interval."""
    seeds = values.keys() & reference.keys()
    pairs = [values[seed] for seed in seeds], [reference[seed] for seed in seeds]
    points = sum(pairs[0]) / len(seeds) - sum(pairs[1]) / len(seeds)
    low, high = ttest_rel(*pairs).confidence_interval(0.95)
    return told_difference(points, low, high)


def interruptions(*folders: str) -> str:
    """A table of the runs of folders that were cut: when each part began, and its epochs."""
    rows = [["run", "parts: when each began, and its epochs"]]
    for each in (run for folder in folders for run in report(folder).tree.runs):
        if len(each.record.get("segments", [])) > 1:
            rows.append([each.label, "; ".join(_parts(each))])
    return markdown(rows)


def _parts(run: Run) -> list[str]:
    parts = []
    for segment in run.record["segments"]:
        began = segment["started"][:16].replace("T", " ")
        epochs = "–".join(map(str, dict.fromkeys(segment["epochs"] or ["none finished"])))
        parts.append(f"{began}, epochs {epochs}")
    return parts
