"""What results depend on besides what was swept: data, epochs, device, versions, code, commands."""

from collections.abc import Sequence
from pathlib import PurePath
from typing import Any

from ghostexp.results.collect import Run
from ghostexp.results.identity import kernels
from ghostexp.results.repeats import over
from ghostexp.results.rows import Estimate, Row
from ghostexp.results.text import one_line, quoted, show
from ghostexp.results.wording import counted

SEVERAL = 3  # values that a figure names; of more it gives their number


def circumstances(runs: list[Run]) -> dict[str, list[str]]:
    """Fact -> its values, each with the number of runs that have it where there are several."""
    facts: dict[str, dict[str, int]] = {}
    for run in runs:
        for fact, value in _facts(run).items():
            if value:
                values = facts.setdefault(fact, {})
                values[value] = values.get(value, 0) + 1
    return {fact: _counted(values) for fact, values in facts.items()}


def caption(rows: list[Row]) -> str:
    """`fsdd; 8 epochs; n = 3 runs each`: what a figure of these rows has to say about them."""
    runs = [run for row in rows for run in row.runs]
    data = [_data_name(run) for run in runs]
    epochs = [show(run.record.get("max_epochs")) for run in runs]
    parts = [_listed(data, "data sets"), _listed(epochs, "budgets of epochs", " epochs")]
    return "; ".join(filter(None, [*parts, _repetitions(rows)]))


def _repetitions(rows: list[Row]) -> str:
    """`n = 3 runs each`, or `5 folds each` where that is what all rows are averaged over."""
    different = list({over(row.runs) for row in rows})
    if len(different) == 1 and "fold" in different[0]:
        return f"{different[0]} each"
    counts = sorted({len(row.runs) for row in rows})
    number = " to ".join(str(count) for count in dict.fromkeys((counts[0], counts[-1])))
    return f"n = {number} run{'' if counts[-1] == 1 else 's'} each"


def bars_of(estimates: Sequence[Estimate | None]) -> str:
    """`bars: standard deviation over seeds`; empty where a figure has no bars."""
    known = [each for each in estimates if each and each.std is not None]
    words = [f"{word}s" for word in ("fold", "seed") if any(word in each.over for each in known)]
    return f"bars: standard deviation over {' and '.join(words)}" if known else ""


def _data_name(run: Run) -> str:
    """`image_folder cifar10`: the choice, and the last part of its folder if that says more."""
    choice = show(run.value("dataset"))
    folder = PurePath(show(run.record["dataset"].get("root"))).name
    return choice if folder in choice else f"{choice} {folder}".strip()


def _listed(texts: list[str], what: str, unit: str = "") -> str:
    """The different texts, or how many there are."""
    different = list(dict.fromkeys(filter(None, texts)))
    if len(different) > SEVERAL:
        return f"{len(different)} {what}"
    return f"{', '.join(different)}{unit}" if different else ""


def _counted(values: dict[str, int]) -> list[str]:
    """`value (3 runs)` for each value; the value alone if there is no other."""
    if len(values) == 1:
        return list(values)
    return [f"{value} ({counted(count, 'run')})" for value, count in values.items()]


def _facts(run: Run) -> dict[str, str]:
    record = run.record
    return {
        "device": run.over_launches(lambda launch: one_line(show(launch.get("device")))),
        "precision": run.over_launches(lambda launch: show(launch.get("precision"))),
        "kernels": _kernels(run),
        "data": _data(run),
        "cross-validation": _folds(run),
        "epochs": show(record.get("max_epochs")),
        "launches": _launches(run),
        "versions": run.over_launches(_versions),
        "git": run.over_launches(_code),
        "command": quoted(record["command"]) if record.get("command") else "",
    }


def _versions(launch: dict[str, Any]) -> str:
    versions = launch.get("versions") or {}
    return ", ".join(f"{name} {number}" for name, number in versions.items())


def _code(launch: dict[str, Any]) -> str:
    """The revision, or why none is known."""
    state = launch.get("git") or {}
    if not state.get("revision"):
        code = f", code {show(state['code'])}" if state.get("code") else ""
        return f"no revision: {show(state['problem'])}{code}" if state.get("problem") else ""
    changes = " with uncommitted changes" if state.get("dirty") else ""
    return show(state["revision"])[:12] + changes


def _kernels(run: Run) -> str:
    """What computes the numbers in the place of torch's operators, as the command line names it."""
    chosen = kernels(run.record["config"] or {})
    return f"callbacks={show(run.value('callbacks'))}" if chosen else ""


def _data(run: Run) -> str:
    dataset = run.record["dataset"]
    parts = [" ".join(show(x) for x in (run.value("dataset"), dataset.get("root")) if x)]
    if dataset.get("num_train"):
        parts.append(f"{dataset['num_train']} training examples")
    if dataset.get("fingerprint"):
        parts.append(f"fingerprint {show(dataset['fingerprint'])[:12]}")
    return ", ".join(filter(None, parts))


def _folds(run: Run) -> str:
    """What a run holds out of its data; empty without folds."""
    dataset = run.record["dataset"]
    if not dataset.get("folds"):
        return ""
    part = {"val": "validated", "test": "tested"}.get(dataset.get("fold_part"), "held out")
    return f"one of {show(dataset['folds'])} folds is {part} by each run"


def _launches(run: Run) -> str:
    """`LABEL: 2 segments, changed optimizer.lr: 0.1 -> 0.01`, empty for a run of one launch."""
    segments: list[Any] = run.record.get("segments") or []
    if len(segments) < 2:
        return ""
    lists = [segment.get("changed") for segment in segments if isinstance(segment, dict)]
    changes = [show(change) for changes in lists if isinstance(changes, list) for change in changes]
    changed = f", changed {', '.join(changes)}" if changes else ""
    return f"{run.label}: {len(segments)} segments{changed}"
