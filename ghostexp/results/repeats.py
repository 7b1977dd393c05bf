"""What the runs of a row are repetitions over: seeds, folds of a cross-validation, or both."""

from ghostexp.results.collect import Run
from ghostexp.results.text import show

FOLD = "dataset.fold"
FOLDS = "dataset.folds"


def repetition(run: Run) -> tuple[str, str]:
    """Seed and fold of a run: two runs of a row that agree in both are the same run twice."""
    return str(run.value("seed")), str(run.value(FOLD))


def over(runs: list[Run]) -> str:
    """What a mean of these runs is taken over; empty for a single run without folds.

    `3 seeds`, `5 folds`, `3 of 5 folds`, `5 folds × 3 seeds`, `7 runs of 5 folds and 2 seeds`.
    """
    seeds, folds = (set(each) for each in zip(*map(repetition, runs), strict=True))
    total = runs[0].value(FOLDS)
    if total is None:
        return f"{len(runs)} seeds" if len(runs) > 1 else ""
    named = f"{total} folds" if len(folds) == total else f"{len(folds)} of {show(total)} folds"
    if len(seeds) == 1 or len(folds) == len(runs):
        return named
    if len(runs) == len(seeds) * len(folds):
        return f"{named} × {len(seeds)} seeds"
    return f"{len(runs)} runs of {named} and {len(seeds)} seeds"
