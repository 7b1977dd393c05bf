"""Cross-validation: the examples in `folds` equal parts; each run holds another part out.

A set that brings a test part keeps it, and its training examples are divided: the fold is the
validation part. In a set without a test part all training examples are divided, and the fold is the
test part; validation is then held out of the rest. The division is the same for every seed: fold 2
is the same examples in every run. Classes are equally frequent in all folds, and no group, such as
a speaker, is in two folds.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from ghostexp.data.in_memory import LabelledSet
from ghostexp.data.splits import SPLIT_SEED

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Fold:
    """Part number `index` of `count`, which is held out as `part`: test or val."""

    index: int
    count: int
    part: str


def chosen_fold(
    folds: int | None, fold: int | None, *, has_test: bool, has_val: bool, val_split: float
) -> Fold | None:
    """The fold of a config, None where it asks for none; ValueError for what cannot be meant.

    `has_test` and `has_val` say which parts the set brings.
    """
    if folds is None and fold is None:
        return None
    if folds is None:
        raise ValueError(f"fold={fold} needs the number of folds, such as dataset.folds=5")
    if not isinstance(folds, int) or folds < 2:
        raise ValueError(f"folds is a whole number of at least 2, not {folds}")
    if fold is None:
        every = ",".join(map(str, range(folds)))
        raise ValueError(
            f"folds={folds} needs the fold that a run holds out: dataset.fold=0 for one run, or"
            f" -m dataset.fold={every} for all of them"
        )
    if not isinstance(fold, int) or not 0 <= fold < folds:
        raise ValueError(f"fold is 0 to {folds - 1} of folds={folds}, not {fold}")
    if has_test and has_val:
        raise ValueError(
            "the data have a validation part and a test part, so there is nothing to hold out as a"
            f" fold: leave folds={folds} out, or give data without one of the two parts"
        )
    if has_test and val_split > 0:
        raise ValueError(
            "the data have a test part, so the fold is what is validated, and val_split must be 0,"
            f" not {val_split}"
        )
    return Fold(fold, folds, "val" if has_test else "test")


def fold_split(
    indices: Tensor,
    labels: Tensor,
    class_names: list[str],
    fold: Fold,
    *,
    groups: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """Split `indices` into (the rest, the fold); whole `groups` [N] where they are given."""
    from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold  # a second of imports

    labels = labels[indices]
    groups = None if groups is None else groups[indices]
    _check(labels, groups, class_names, fold)
    kind = StratifiedKFold if groups is None else StratifiedGroupKFold
    cutter = kind(fold.count, shuffle=True, random_state=SPLIT_SEED)
    zeros = torch.zeros(len(labels))
    parts = list(cutter.split(zeros, labels, groups))
    rest, held = map(torch.from_numpy, parts[fold.index])
    _check_classes(labels[rest], labels[held], class_names, fold)
    return indices[rest], indices[held]


def folded(load: Callable[[], LabelledSet], fold: Fold | None) -> Callable[[], LabelledSet]:
    """`load` whose set validates a fold of its training examples."""

    def load_fold() -> LabelledSet:
        data = load()
        train, val = fold_split(data.train, data.labels, data.class_names, fold)
        return replace(data, train=train, val=val)

    return load if fold is None else load_fold


def _check(labels: Tensor, groups: Tensor | None, class_names: list[str], fold: Fold) -> None:
    """Refuse more folds than examples of a class, or than groups."""
    counts = labels.bincount(minlength=len(class_names))
    smallest = int(counts.argmin())
    if counts[smallest] < fold.count:
        raise ValueError(
            f"folds={fold.count} is more than the {counts[smallest]} examples of the class"
            f" {class_names[smallest]}: each fold needs an example of each class"
        )
    if groups is None:
        return
    number = len(groups.unique())
    if number < fold.count:
        raise ValueError(f"folds={fold.count} is more than the {number} groups of the data")
    for label, name in enumerate(class_names):
        if len(groups[labels == label].unique()) < 2:
            raise ValueError(
                f"the class {name} is in one group alone: without the fold of this group it would"
                " have nothing to train on"
            )


def _check_classes(rest: Tensor, held: Tensor, class_names: list[str], fold: Fold) -> None:
    """Whole groups may leave a fold without a class (a warning), or the rest (an error)."""
    place = f"fold {fold.index} of {fold.count}"
    for label, name in enumerate(class_names):
        if not (rest == label).any():
            raise ValueError(f"{place} holds all examples of the class {name}: choose fewer folds")
    absent = [name for label, name in enumerate(class_names) if not (held == label).any()]
    if absent:
        log.warning("%s has no example of %s: its groups have none", place, ", ".join(absent))
