"""Files of a data set with label, split and group of each, before any is read."""

import logging
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ghostexp.data.folds import Fold, fold_split
from ghostexp.data.in_memory import Examples, LabelledSet
from ghostexp.data.splits import SPLIT_SEED, TEST_SHARE, grouped_split, stratified_split

log = logging.getLogger(__name__)

NAMES = {"val": "validation", "test": "test"}


@dataclass(frozen=True)
class LabelledFiles:
    """The files of a set, below `root`: label, split (train, val or test), group of each."""

    root: Path
    paths: list[Path]
    labels: list[int]
    class_names: list[str]
    splits: list[str]
    groups: list[str] | None = None

    def members(self, split: str) -> Tensor:
        """Indices of the files of a split."""
        return torch.from_numpy(np.flatnonzero(np.array(self.splits) == split))

    def group_numbers(self) -> Tensor | None:
        """Numbers [N] of the groups, which are known by their names."""
        if self.groups is None:
            return None
        return torch.from_numpy(np.unique(self.groups, return_inverse=True)[1])

    def only(self, kept: list[int]) -> "LabelledFiles":
        """The files of these indices."""
        return replace(
            self,
            paths=[self.paths[index] for index in kept],
            labels=[self.labels[index] for index in kept],
            splits=[self.splits[index] for index in kept],
            groups=None if self.groups is None else [self.groups[index] for index in kept],
        )

    def with_examples(
        self, examples: Examples, train_examples: Examples | None = None
    ) -> LabelledSet:
        """The labelled set whose example number i is file number i."""
        return LabelledSet(
            examples,
            torch.tensor(self.labels),
            self.class_names,
            *(self.members(split) for split in ("train", "val", "test")),
            train_examples=train_examples,
            groups=self.group_numbers(),
        )


def divided(files: LabelledFiles, fold: Fold | None, *, keep_groups: bool) -> LabelledFiles:
    """Files with a test part, and with the fold held out; by whole groups with `keep_groups`.

    Files without a test part, and without a fold that becomes it, lose a fifth of each class to it.
    """
    files = _divided(files, fold, keep_groups)
    check_classes(files)
    return files


def _divided(files: LabelledFiles, fold: Fold | None, keep_groups: bool) -> LabelledFiles:
    groups = files.group_numbers() if keep_groups else None
    if fold is not None:
        return _with_fold(files, fold, groups)
    if "test" in files.splits:
        return files
    train, labels = files.members("train"), torch.tensor(files.labels)
    share = {"share": TEST_SHARE, "seed": SPLIT_SEED}
    if groups is None:
        _, test = stratified_split(train, labels, files.class_names, **share)
    else:
        _, test = grouped_split(train, labels, groups, files.class_names, **share)
    log.info(
        "%s has no test part: %d of %d files, %.0f %% of each class, are held out as test",
        files.root, len(test), len(files.paths), 100 * TEST_SHARE,
    )  # fmt: skip
    return _held_out(files, test, "test")


def check_classes(files: LabelledFiles) -> None:
    """Refuse a set with nothing to test on, or with a class that has nothing to train on."""
    known = {files.labels[index] for index in files.members("train").tolist()}
    missing = [name for label, name in enumerate(files.class_names) if label not in known]
    if missing:
        raise ValueError(f"class {missing[0]} of {files.root} has no file to train on")
    if "test" not in files.splits:
        raise ValueError(f"{files.root} has no file to test on")


def _with_fold(files: LabelledFiles, fold: Fold, groups: Tensor | None) -> LabelledFiles:
    train, labels = files.members("train"), torch.tensor(files.labels)
    rest, held = fold_split(train, labels, files.class_names, fold, groups=groups)
    log.info(
        "fold %d of %d of %s: %d files are the %s part, %d remain to train on",
        fold.index, fold.count, files.root, len(held), NAMES[fold.part], len(rest),
    )  # fmt: skip
    return _held_out(files, held, fold.part)


def _held_out(files: LabelledFiles, indices: Tensor, part: str) -> LabelledFiles:
    splits = list(files.splits)
    for index in indices.tolist():
        splits[index] = part
    return replace(files, splits=splits)
