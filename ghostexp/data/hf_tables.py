"""Tables of the Hugging Face library `datasets`: which rows there are, with label, split and group.

A table is a parquet file, a folder of parquet files, a folder of images, or a data set of the hub.
"""

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ghostexp.data.labelled_files import LabelledFiles
from ghostexp.download import NotDownloaded, is_offline

if TYPE_CHECKING:
    from datasets import Dataset

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class HfSplits:
    """Names of a data set's splits; None where a part is not to be taken from the data."""

    train: str = "train"
    val: str | None = None
    test: str | None = "test"

    def named(self) -> dict[str, str]:
        """Part -> name of its split."""
        names = {"train": self.train, "val": self.val, "test": self.test}
        return {part: name for part, name in names.items() if name is not None}


@dataclass(frozen=True)
class HfColumns:
    """Names of a table's columns; `group` has what must not be on both sides of a split."""

    image: str = "image"
    label: str = "label"
    group: str | None = None


@dataclass(frozen=True)
class HfTables:
    """Where the tables lie.

    `path` is a file, a folder or a name on the hub. `name` is a configuration of a data set on the
    hub, and `revision` its version.

    What is not there is a ValueError with one sentence.
    """

    path: str
    splits: HfSplits
    columns: HfColumns
    name: str | None = None
    revision: str | None = None

    def class_names(self) -> list[str]:
        """Names of the classes: the table's, else the sorted labels of the training rows."""
        return self._class_names(self._load()["train"])

    def list_rows(self) -> tuple[LabelledFiles, "Dataset"]:
        """All rows with label, split and group, and the table of their images."""
        from datasets import Image, concatenate_datasets

        tables = self._load()
        names = self._class_names(tables["train"])
        numbers = {name: number for number, name in enumerate(names)}
        rows = LabelledFiles(Path(self.path), [], [], names, [], [] if self.columns.group else None)
        for part, table in tables.items():
            for row, label in enumerate(self._labels(table)):
                if label not in numbers:
                    raise ValueError(
                        f"{self.path}: {self.columns.label} is {label} in row {row} of the split"
                        f" {part}, which the training rows do not have"
                    )
                rows.paths.append(Path(part, str(row)))
                rows.labels.append(numbers[label])
                rows.splits.append(part)
            if self.columns.group:
                rows.groups.extend(map(str, table[self.columns.group]))
        column = self.columns.image
        images = [
            table.select_columns([column]).cast_column(column, Image(decode=False))
            for table in tables.values()
        ]
        return rows, concatenate_datasets(images)

    def _load(self) -> dict[str, "Dataset"]:
        """The table of each part."""
        found, named = self._load_all(), self.splits.named()
        for part, name in named.items():
            if name not in found:
                without = (
                    "" if part == "train" else f", or dataset.splits.{part}=null to do without"
                )
                raise ValueError(
                    f"{self.path} has no split {name}: give dataset.splits.{part}=NAME, of"
                    f" {', '.join(found)}{without}"
                )
        if unused := [name for name in found if name not in named.values()]:
            log.warning(
                "%s has the splits %s, which are not used: see dataset.splits",
                self.path, ", ".join(unused),
            )  # fmt: skip
        tables = {part: found[name] for part, name in named.items()}
        for table in tables.values():
            self._check_columns(table.column_names)
        return tables

    def _load_all(self) -> dict[str, "Dataset"]:
        """Every split, as `datasets` reads it; what it downloads or converts stays in its cache."""
        import datasets  # seconds of imports

        arguments: dict[str, Any] = {"path": self.path, "name": self.name}
        if Path(self.path).is_file():
            arguments = {"path": "parquet", "data_files": self.path}
        is_local = Path(self.path).exists()
        show = datasets.disable_progress_bars if is_local else datasets.enable_progress_bars
        show()
        config = datasets.DownloadConfig(local_files_only=is_offline())
        try:
            return datasets.load_dataset(
                **arguments, revision=self.revision, download_config=config
            )
        except (OSError, ValueError, RuntimeError, datasets.exceptions.DatasetsError) as error:
            reason = " ".join(str(error).split())
            if is_local:
                raise ValueError(f"{self.path} cannot be read as a data set: {reason}") from error
            kind = NotDownloaded if is_offline() else ValueError
            raise kind(
                f"{self.path} is no file and no folder here, and cannot be fetched from the Hugging"
                f" Face hub: {reason}; run this where there is a network, or give the path of a"
                " parquet file or of a folder"
            ) from error

    def _check_columns(self, known: list[str]) -> None:
        for part, column in vars(self.columns).items():
            if column is not None and column not in known:
                raise ValueError(
                    f"{self.path} has no column {column}: give dataset.columns.{part}=NAME, of"
                    f" {', '.join(known)}"
                )

    def _class_names(self, train: "Dataset") -> list[str]:
        names = getattr(train.features[self.columns.label], "names", None)
        if names:
            return list(names)
        return [str(value) for value in sorted(set(train[self.columns.label]) - {None})]

    def _labels(self, table: "Dataset") -> list[str]:
        """Name of each row's class; a number that has no name, such as -1, stands for itself."""
        values = table[self.columns.label]
        names = getattr(table.features[self.columns.label], "names", None)
        if not names:
            return list(map(str, values))
        return [names[v] if v is not None and 0 <= v < len(names) else str(v) for v in values]
