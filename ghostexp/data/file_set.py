"""A folder of files, whose labels come from class folders, from file names or from a table."""

import logging
import re
from collections.abc import Set
from dataclasses import dataclass, replace
from pathlib import Path

from ghostexp.data.csv_labels import CsvLabels
from ghostexp.data.folds import Fold, chosen_fold
from ghostexp.data.labelled_files import LabelledFiles
from ghostexp.data.tree import (
    LeftOut,
    class_folders,
    files_below,
    present_splits,
    scan,
    split_folders,
)

log = logging.getLogger(__name__)

NAMED = 3  # files in a sentence


@dataclass(frozen=True)
class FileSet:
    """The files below `root` with one of the `extensions`, and where their labels come from.

    Without anything else the folders below train, val and test, or below the root, are the classes.
    `label_pattern` and `group_pattern` are regular expressions that find the label, or the group,
    in the name of a file; a pattern with a slash is searched in the path below the root. What the
    bracket `(?P<label>...)` or `(?P<group>...)` holds is taken, else the first bracket. `csv` names
    a table. The root need not be there before files are listed.
    """

    root: Path
    extensions: Set[str]
    label_pattern: str | None = None
    group_pattern: str | None = None
    csv: CsvLabels | None = None

    def __post_init__(self) -> None:
        _check_pattern("label_pattern", self.label_pattern)
        _check_pattern("group_pattern", self.group_pattern)
        if self._has_table and self.label_pattern is not None:
            raise ValueError(
                f"label_pattern={self.label_pattern} and csv.file={self.csv.file} both say the"
                " labels: give one of them"
            )

    @property
    def has_val(self) -> bool:
        """Whether the data bring a validation part."""
        return "val" in self._splits()

    @property
    def has_groups(self) -> bool:
        """Whether the files have groups."""
        if self._has_table:
            return self.group_pattern is not None or self.csv.has_groups(self.root)
        return self.group_pattern is not None

    def fold(self, folds: int | None, fold: int | None, val_split: float) -> Fold | None:
        """The fold of a config; ValueError where it, or `val_split`, contradicts the data."""
        splits = self._splits()
        has_val = "val" in splits
        if has_val and val_split > 0:
            raise ValueError(
                f"{self.root} has a validation part, so val_split must be 0, not {val_split}"
            )
        return chosen_fold(
            folds, fold, has_test="test" in splits, has_val=has_val, val_split=val_split
        )

    def class_names(self) -> list[str]:
        """Sorted names of the classes; no file is opened but a table."""
        if self._has_table:
            return self.csv.class_names(self.root)
        if self.label_pattern is None:
            return class_folders(split_folders(self.root)["train"])
        places, _ = self._places(LeftOut())
        return sorted({label for path in places if (label := self._label(path))})

    def list_files(self) -> LabelledFiles:
        """All files with label, split and group; what is left out is counted in the log."""
        if self._has_table:
            files = self.csv.list_files(self.root, self.extensions)
        elif self.label_pattern is not None:
            files = self._by_name()
        else:
            tree = scan(self.root, self.extensions)
            splits = [split for split, count in tree.counts.items() for _ in range(count)]
            files = LabelledFiles(self.root, tree.paths, tree.labels, tree.class_names, splits)
        return files if self.group_pattern is None else self._grouped(files)

    @property
    def _has_table(self) -> bool:
        return self.csv is not None and self.csv.file is not None

    def _splits(self) -> set[str]:
        """The splits that the data bring; none where the data are not there."""
        return self.csv.splits(self.root) if self._has_table else present_splits(self.root)

    def _places(self, left_out: LeftOut) -> tuple[list[Path], list[str]]:
        """All files, and their splits."""
        paths, splits = [], []
        for split, folder in split_folders(self.root).items():
            found = files_below(folder, self.extensions, left_out)
            paths += found
            splits += [split] * len(found)
        return paths, splits

    def _by_name(self) -> LabelledFiles:
        left_out = LeftOut()
        paths, splits = self._places(left_out)
        left_out.report(self.root)
        labels = list(map(self._label, paths))
        matched = [index for index, label in enumerate(labels) if label is not None]
        if not matched:
            raise ValueError(
                f"label_pattern={self.label_pattern} finds a label in none of the {len(paths)}"
                f" files of {self.root}{self._such_as(paths)}"
            )
        unmatched = [path for path, label in zip(paths, labels, strict=True) if label is None]
        if unmatched:
            log.warning(
                "label_pattern finds no label in %d of %d files of %s, which are left out%s",
                len(unmatched), len(paths), self.root, self._such_as(unmatched),
            )  # fmt: skip
        names = sorted({labels[index] for index in matched})
        numbers = {name: number for number, name in enumerate(names)}
        return LabelledFiles(
            self.root,
            [paths[index] for index in matched],
            [numbers[labels[index]] for index in matched],
            names,
            [splits[index] for index in matched],
        )

    def _grouped(self, files: LabelledFiles) -> LabelledFiles:
        if files.groups is not None:
            raise ValueError(
                f"group_pattern={self.group_pattern} and a column of {self.csv.file} both say the"
                " groups: give one of them"
            )
        groups = [self._find(self.group_pattern, "group", path) for path in files.paths]
        without = [path for path, group in zip(files.paths, groups, strict=True) if group is None]
        if without:
            raise ValueError(
                f"group_pattern={self.group_pattern} finds no group in {len(without)} of"
                f" {len(groups)} files{self._such_as(without)}"
            )
        return replace(files, groups=groups)

    def _label(self, path: Path) -> str | None:
        return self._find(self.label_pattern, "label", path)

    def _find(self, pattern: str, bracket: str, path: Path) -> str | None:
        """What the bracket of a pattern finds for a file; None where it finds nothing."""
        found = re.search(pattern, self._below(path) if "/" in pattern else path.name)
        if found is None:
            return None
        return found[bracket if bracket in found.re.groupindex else 1] or None

    def _such_as(self, paths: list[Path]) -> str:
        """`, such as a.png, b.png` for some files; empty for no file."""
        return f", such as {', '.join(map(self._below, paths[:NAMED]))}" if paths else ""

    def _below(self, path: Path) -> str:
        return (
            path.relative_to(self.root).as_posix() if path.is_relative_to(self.root) else str(path)
        )


def _check_pattern(key: str, pattern: str | None) -> None:
    """Refuse what is no regular expression, or has no bracket to take."""
    if pattern is None:
        return
    try:
        compiled = re.compile(pattern)
    except re.error as error:
        raise ValueError(f"{key}={pattern} is no regular expression: {error}") from error
    if not compiled.groups:
        what = key.partition("_")[0]
        raise ValueError(f"{key}={pattern} has no bracket (?P<{what}>...) around the {what}")
