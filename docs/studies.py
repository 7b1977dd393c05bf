"""Studies for the pages of docs/: what a change gives, what cut the runs, and what ghosts are."""

import csv
from statistics import fmean

from facts import PUBLISHED, markdown, report, row, signed, told_difference
from scipy.stats import ttest_rel

from ghostexp.results.collect import Run
from ghostexp.results.columns import spread

KINDS = {"": "all layers", "conv1": "first layers of the blocks", "conv2": "second layers"}


def gains(
    folder: str,
    names: dict[str, str],
    base: str,
    metric: str = "val/acc",
    head: str = "what changes",
) -> str:
    """A table over the rows of a report: a metric, and how it differs from the row `base`.

    `names` gives the text for the subfolder of the first run of each row. Runs with the same seed
    and fold are compared, so that the interval is the 95 % interval of Student's t for pairs.
    """
    reference = by_repetition(folder, base, metric)
    rows = [[head, f"{metric}, %, mean ± deviation", "points", "95 % interval"]]
    for first, name in names.items():
        values = by_repetition(folder, first, metric)
        compared = paired(values, reference) if first != base else ["", ""]
        rows.append([name, spread(row(folder, first).share(metric)), *compared])
    return markdown(rows)


def spreads(folder: str, names: dict[str, str], metrics: dict[str, str], head: str) -> str:
    """A table of metrics over the rows of a report: mean ± deviation over the seeds, in percent.

    `names` gives the text for the subfolder of the first run of each row, and `metrics` a header
    for each metric.
    """
    rows = [
        [name, *(spread(row(folder, first).share(metric)) for metric in metrics)]
        for first, name in names.items()
    ]
    return markdown([[head, *metrics.values()], *rows])


def by_repetition(folder: str, first: str, metric: str) -> dict[tuple, float]:
    """A metric of the last epoch of each finished run of a row, in percent, by seed and fold."""
    return {
        (run.record["seed"], run.record["dataset"].get("fold")): 100 * run.record["metrics"][metric]
        for run in row(folder, first).runs
        if run.finished
    }


def range_of(folder: str, metric: str) -> str:
    """The smallest and the largest mean of a row, in percent: `58 to 66`."""
    means = [each.share(metric).mean for each in report(folder).rows]
    return f"{min(means):.0f} to {max(means):.0f}"


def paired(values: dict[tuple, float], reference: dict[tuple, float]) -> list[str]:
    """The mean difference over the repetitions that both have, and its 95 % interval.

    One pair has no interval.
    """
    common = values.keys() & reference.keys()
    pairs = [values[each] for each in common], [reference[each] for each in common]
    points = fmean(pairs[0]) - fmean(pairs[1])
    if len(common) == 1:
        return [signed(points), "one pair only"]
    low, high = ttest_rel(*pairs).confidence_interval(0.95)
    return told_difference(points, low, high)


def interruptions(*folders: str) -> str:
    """A table of the runs of folders that were cut: when each part began, and its epochs."""
    rows = [["study", "run", "parts: when each began, and its epochs"]]
    for folder in folders:
        for each in report(folder).tree.runs:
            if len(each.record.get("segments", [])) > 1:
                rows.append([f"`{folder}`", each.label, "; ".join(_parts(each))])
    return markdown(rows)


def _parts(run: Run) -> list[str]:
    parts = []
    for segment in run.record["segments"]:
        began = segment["started"][:16].replace("T", " ")
        parts.append(f"{began}, {_epochs(*segment['epochs'])}")
    return parts


def _epochs(first: int, last: int) -> str:
    """The finished epochs of a part: `epochs 3–6`, `epoch 3`, or that it finished none."""
    if last < first:
        return f"cut in epoch {first}"
    return f"epoch {first}" if first == last else f"epochs {first}–{last}"


def ghost_copies(folder: str) -> str:
    """A table of how much of the ghosts a copy explains, beside random kernels, by kind of layer.

    The folder holds what `ghostexp features RUN --statistics` writes. Means are over ghosts.
    """
    rows = [["ghosts of", "number", "explained by a copy", "explained to 90 % or more", "inverted"]]
    for ending, name in KINDS.items():
        for file, kernels in (("layers", "trained"), ("control", "random")):
            layers = _layers(folder, file, ending)
            shares = [
                f"{100 * _over_ghosts(layers, column):.0f} %"
                for column in ("explained", "good_copies", "inverted")
            ]
            rows.append([f"{name}, {kernels} kernels", str(sum(map(_alive, layers))), *shares])
    return markdown(rows)


def dense_redundancy(folder: str) -> str:
    """A table of how well maps of a dense network are cheap functions of each other.

    The folder holds what `ghostexp features RUN --redundancy` writes. Means are over layers.
    """
    sizes = ("1", "3", "5", "7")
    heads = [f"error, {d} × {d} kernel" for d in sizes]
    rows = [["maps of", "layers", *heads, "maps with an error of at most 0.1, 3 × 3"]]
    for ending, name in KINDS.items():
        layers = _layers(folder, "redundancy", ending)
        errors = [f"{fmean(float(row[f'MSE d={d}']) for row in layers):.2f}" for d in sizes]
        share = fmean(float(row["MSE <= 0.1, d=3"]) for row in layers)
        rows.append([name, str(len(layers)), *errors, f"{100 * share:.0f} %"])
    return markdown(rows)


def explained(folder: str, file: str, ending: str) -> str:
    """The share of the ghosts' variance that a copy explains, in percent, over such layers."""
    return f"{100 * _over_ghosts(_layers(folder, file, ending), 'explained'):.0f}"


def _layers(folder: str, file: str, ending: str) -> list[dict[str, str]]:
    """The rows of the layers whose names end so, without the rows over all layers."""
    with (PUBLISHED / folder / f"{file}.csv").open(newline="") as opened:
        rows = [row for row in csv.DictReader(opened) if " " not in row["layer"]]
    return [row for row in rows if row["layer"].endswith(ending)]


def _alive(layer: dict[str, str]) -> int:
    return int(layer["ghosts"]) - int(layer["dead"])


def _over_ghosts(layers: list[dict[str, str]], column: str) -> float:
    weights = list(map(_alive, layers))
    return fmean([float(each[column]) for each in layers], weights)
