"""A table of files and labels: a CSV file with a header, and one line for each file."""

import csv
import logging
from collections.abc import Set
from dataclasses import dataclass
from pathlib import Path

from ghostexp.data.labelled_files import LabelledFiles
from ghostexp.data.tree import ALSO_VAL, SPLITS, check_root, files_below

log = logging.getLogger(__name__)

DELIMITERS = ",;\t"
NAMED = 3  # files in a sentence


@dataclass(frozen=True)
class Row:
    """One line of a table, whose number counts from 1."""

    line: int
    file: str
    label: str
    split: str
    group: str | None


@dataclass(frozen=True)
class CsvLabels:
    """A table: `file` below the root, or absolute, and the names of its columns.

    Values of `file_column` are paths below the root, or absolute. `split_column` has train, val or
    test; an empty cell is train. `group_column` has what must not be on both sides of a split. For
    None the columns `split` and `group` are taken where the table has them. Columns are separated
    by commas, semicolons or tabs. What cannot be meant is a ValueError with file and line.
    """

    file: str | None = None
    file_column: str = "file"
    label_column: str = "label"
    split_column: str | None = None
    group_column: str | None = None

    def splits(self, root: Path) -> set[str]:
        """The splits that the table names; none where the table is not there."""
        return {row.split for row in self._rows_if_there(root)}

    def has_groups(self, root: Path) -> bool:
        """Whether the table has groups; a table that is not there has no groups."""
        return any(row.group is not None for row in self._rows_if_there(root))

    def class_names(self, root: Path) -> list[str]:
        """Sorted names of the labels."""
        return sorted({row.label for row in self._rows(root)})

    def list_files(self, root: Path, extensions: Set[str]) -> LabelledFiles:
        """The files of the table; files below the root that it does not name are counted."""
        rows = self._rows(root)
        paths = [root / row.file for row in rows]
        for row, path in zip(rows, paths, strict=True):
            if not path.is_file():
                raise ValueError(f"{self._place(root, row.line)}: there is no file {path}")
            if path.suffix.lower() not in extensions:
                raise ValueError(
                    f"{self._place(root, row.line)}: {path} is of no kind that is read"
                )
        self._say_unnamed(root, paths, extensions)
        names = sorted({row.label for row in rows})
        numbers = {name: number for number, name in enumerate(names)}
        has_groups = any(row.group is not None for row in rows)
        return LabelledFiles(
            root,
            paths,
            [numbers[row.label] for row in rows],
            names,
            [row.split for row in rows],
            [str(row.group) for row in rows] if has_groups else None,
        )

    def _rows_if_there(self, root: Path) -> list[Row]:
        return self._rows(root) if (root / self.file).is_file() else []

    def _rows(self, root: Path) -> list[Row]:
        """The lines of the table, each file once."""
        check_root(root)
        path = root / self.file
        try:
            with path.open(newline="", encoding="utf-8-sig") as stream:
                delimiter = _delimiter(stream.readline())
                stream.seek(0)
                reader = csv.DictReader(stream, delimiter=delimiter, restval="")
                columns = self._columns(path, reader.fieldnames or [])
                rows = [self._row(root, reader.line_num, cells, columns) for cells in reader]
        except (OSError, UnicodeError, csv.Error) as error:
            raise ValueError(f"csv.file: {path} cannot be read: {error}") from error
        if not rows:
            raise ValueError(f"{path} has no line below its header")
        first: dict[str, int] = {}
        for row in rows:
            if row.file in first:
                raise ValueError(
                    f"{self._place(root, row.line)}: {row.file} is in line {first[row.file]} too"
                )
            first[row.file] = row.line
        return rows

    def _columns(self, path: Path, header: list[str]) -> dict[str, str | None]:
        """Column of each part of a row; None for a part that the table does not have."""
        columns = {"file": self.file_column, "label": self.label_column}
        columns |= {"split": self.split_column, "group": self.group_column}
        for part, column in columns.items():
            if column is None:
                columns[part] = part if part in header else None
            elif column not in header:
                raise ValueError(
                    f"{path}:1: csv.{part}_column={column} is none of the columns"
                    f" {', '.join(header)}"
                )
        return columns

    def _row(
        self, root: Path, line: int, cells: dict[str, str], columns: dict[str, str | None]
    ) -> Row:
        if None in cells:  # where DictReader puts what it has no name for
            raise ValueError(f"{self._place(root, line)}: the line has more cells than the header")
        values = {
            part: cells[column].strip() if column else None for part, column in columns.items()
        }
        for part in ("file", "label", "group"):
            if values[part] == "":
                raise ValueError(f"{self._place(root, line)}: the column {columns[part]} is empty")
        split = values["split"] or "train"
        split = "val" if split in ALSO_VAL else split
        if split not in SPLITS:
            raise ValueError(
                f"{self._place(root, line)}: {columns['split']} is train, val or test, not {split}"
            )
        return Row(line, values["file"], values["label"], split, values["group"])

    def _place(self, root: Path, line: int) -> str:
        return f"{root / self.file}:{line}"

    def _say_unnamed(self, root: Path, paths: list[Path], extensions: Set[str]) -> None:
        named = {path.resolve() for path in paths}
        others = [path for path in files_below(root, extensions) if path.resolve() not in named]
        if others:
            shown = ", ".join(path.relative_to(root).as_posix() for path in others[:NAMED])
            log.warning(
                "%d files below %s are not named by %s and are left out, such as %s",
                len(others), root, self.file, shown,
            )  # fmt: skip


def _delimiter(header: str) -> str:
    """The most frequent delimiter of the header."""
    return max(DELIMITERS, key=header.count)
