"""Studies over seeds for the pages of docs/: what a change gives, and what interrupted the runs."""

import statistics
from math import sqrt

from facts import MINUS, markdown, report, row, run
from scipy import stats

from ghostexp.results.collect import Run


def gains(folder: str, names: dict[str, str], base: str, metric: str = "val/acc") -> str:
    """A table over the rows of a report: a metric, and how it differs from the row `base`.

    `names` gives the text for the subfolder of the first run of each row. Runs with the same seed
    are compared, so that the interval is the 95 % interval of Student's t for pairs.
    """
    reference = by_seed(folder, base, metric)
    rows = [["what changes", f"{metric}, %, mean ± deviation", "points", "95 % interval"]]
    for first, name in names.items():
        values = by_seed(folder, first, metric)
        spread = statistics.stdev(values.values())
        told = f"{statistics.mean(values.values()):.2f} ± {spread:.2f} ({len(values)})"
        compared = ["", ""] if first == base else paired(values, reference)
        rows.append([name, told, *compared])
    return markdown(rows)


def by_seed(folder: str, first: str, metric: str) -> dict[int, float]:
    """A metric of the last epoch of each run of a row, in percent."""
    runs = row(folder, first).runs
    return {run.record["seed"]: 100 * run.record["metrics"][metric] for run in runs}


def paired(values: dict[int, float], reference: dict[int, float]) -> list[str]:
    """The mean difference over the seeds that both have, and its 95 % interval."""
    differences = [value - reference[seed] for seed, value in values.items() if seed in reference]
    points, count = statistics.mean(differences), len(differences)
    error = statistics.stdev(differences) / sqrt(count)
    half = stats.t.ppf(0.975, count - 1) * error
    told = [f"{points:+.2f}", f"{points - half:+.2f} to {points + half:+.2f}"]
    return [each.translate(MINUS) for each in told]


def minutes(path: str) -> str:
    """What a run took, in minutes."""
    return f"{run(path).record['wall_s'] / 60:.1f}"


def interruptions(folder: str) -> str:
    """A table of the runs of a folder that were cut: when each part began, and its epochs."""
    rows = [["run", "parts: when each began, and its epochs"]]
    for each in report(folder).tree.runs:
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
