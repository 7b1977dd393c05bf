"""What tells runs apart: the keys that were swept, the choices and the values that differ.

A choice (model=vgg16) stands for all the keys that it brings. A run that failed or was refused adds
no key: its mistake would otherwise become a column of all the others.
"""

from collections.abc import Iterable
from typing import Any

from ghostexp.results.collect import Run
from ghostexp.results.identity import NOT_THE_RESULT, kernels
from ghostexp.results.repeats import FOLD, repetition
from ghostexp.results.text import short

NO_DIFFERENCE = (  # an experiment is a name for differences
    *("experiment", "logger", "task/metrics"),
)
METRICS = "task.metrics."  # what is measured changes nothing about what was trained
KERNELS = "callbacks"  # the group that chooses them


def telling_keys(runs: list[Run]) -> list[str]:
    """Swept keys, then choices that differ, then keys that differ where all of those agree.

    A swept key that has one value in all runs tells nothing apart beside another key.
    """
    known = [run for run in runs if run.status != "failed"] or runs
    swept = swept_keys(known)
    keys = _differing([{key: run.value(key) for key in swept} for run in known]) or swept
    for group in alike(known, keys):
        keys += [choice for choice in differing_choices(group) if choice not in keys]
    keys += _differing_besides(known, keys)
    if KERNELS not in keys and any(map(_compares_kernels, alike(known, keys))):
        keys.append(KERNELS)
    if any(len({str(run.value("name")) for run in group}) > 1 for group in alike(known, keys)):
        keys.append("name")
    return keys


def swept_keys(runs: Iterable[Run]) -> list[str]:
    """Keys that the records call swept, without seeds and folds, in order of first appearance."""
    keys = dict.fromkeys(key for run in runs for key in run.record["swept"])
    return [key for key in keys if not is_incidental(key)]


def differing_choices(runs: list[Run]) -> list[str]:
    """Groups whose choice differs and makes a difference to the config."""
    configs = [run.config for run in runs if run.config]
    return [
        group
        for group in _differing([run.record["choices"] for run in runs if run.record["choices"]])
        if group not in NO_DIFFERENCE and not _is_the_same_part(configs, group)
    ]


def is_incidental(key: str) -> bool:
    """Whether a key is a seed or a fold, over which a row is averaged, or no part of a training."""
    is_repeat = key == FOLD or short(key) == "seed"
    return key in NOT_THE_RESULT or is_repeat or key.startswith(METRICS)


def _differing_besides(runs: list[Run], keys: list[str]) -> list[str]:
    """Keys of the configs that differ between runs that agree in `keys`.

    Of keys that always have the same value, as `model.num_classes=${dataset.num_classes}` gives,
    the first one stands for all.
    """
    found: dict[str, None] = {}
    for group in alike(runs, keys):
        found |= dict.fromkeys(_differing([run.config for run in group if run.config]))
    columns: dict[str, str] = {}
    for key in found:
        if not is_incidental(key):
            columns.setdefault(str([run.value(key) for run in runs]), key)
    return list(columns.values())


def _compares_kernels(runs: list[Run]) -> bool:
    """Whether runs that are the same run twice were computed by different kernels."""
    found: dict[tuple[str, str], set[str]] = {}
    for run in runs:
        names = kernels(run.record["config"] or {})
        found.setdefault(repetition(run), set()).add(str(sorted(names)))
    return any(len(names) > 1 for names in found.values())


def alike(runs: list[Run], keys: list[str]) -> list[list[Run]]:
    """The runs in groups that agree in the values of `keys`."""
    groups: dict[str, list[Run]] = {}
    for run in runs:
        groups.setdefault(str([run.value(key) for key in keys]), []).append(run)
    return list(groups.values())


def _differing(mappings: list[dict[str, Any]]) -> list[str]:
    """Keys, in order, that do not have one value in all mappings."""
    keys = dict.fromkeys(key for mapping in mappings for key in mapping)
    return [key for key in keys if len({str(mapping.get(key)) for mapping in mappings}) > 1]


def _is_the_same_part(configs: list[dict[str, Any]], group: str) -> bool:
    """Whether the configs have a part of that name, and the same one but for a seed."""
    prefix = f"{group}."
    parts = [{k: v for k, v in config.items() if k.startswith(prefix)} for config in configs]
    told = [{k: v for k, v in part.items() if not is_incidental(k)} for part in parts]
    return any(parts) and all(part == told[0] for part in told)
