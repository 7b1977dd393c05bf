"""Images of the Hugging Face library `datasets`, an extra: pip install ghostexp[datasets]."""

from collections.abc import Callable, Iterable
from functools import partial
from io import BytesIO
from typing import TYPE_CHECKING

import torch
from joblib import cpu_count
from torch import Tensor

from ghostexp.data.augment import Augment
from ghostexp.data.datamodule import ClassificationData, Source
from ghostexp.data.files import in_threads
from ghostexp.data.folder import (
    EXTENSIONS,
    IMAGES_WORTH_A_BAR,
    MAX_BYTES_IN_MEMORY,
    BadFile,
    check_interpolation,
    check_size,
    gathered,
    load_image,
)
from ghostexp.data.folds import Fold, chosen_fold
from ghostexp.data.hf_tables import HfColumns, HfSplits, HfTables
from ghostexp.data.in_memory import STANDARD, InMemory, LabelledSet
from ghostexp.data.labelled_files import divided
from ghostexp.data.read_ahead import Loading
from ghostexp.data.transformed import FileTransforms, evaluation_reader, read_transformed

if TYPE_CHECKING:
    from datasets import Dataset


class TableImages:
    """Images decoded from the rows of a table whenever they are asked for.

    `read` makes an image uint8 [C, H, W] of a path or of the bytes of a file; `random` says that it
    draws random numbers.
    """

    def __init__(
        self,
        table: "Dataset",
        column: str,
        *,
        read: Callable[[str | BytesIO], Tensor],
        random: bool = False,
        num_workers: int | None = None,
    ) -> None:
        self.table = table
        self.column = column
        self.read = read
        self.random = random
        self.num_workers = cpu_count() if num_workers is None else num_workers

    def __len__(self) -> int:
        return len(self.table)

    def __getitem__(self, indices: Tensor) -> Tensor:
        return gathered(map(self.image, indices.tolist()), len(indices))

    def image(self, row: int) -> Tensor:
        """Image uint8 [C, H, W] of a row."""
        cell = self.table[row][self.column]
        source = cell["path"] if cell["bytes"] is None else BytesIO(cell["bytes"])
        try:
            return self.read(source)
        except BadFile as error:
            name = cell["path"] or f"row {row} of the table"
            raise BadFile(f"{name} cannot be read as an image: {error.__cause__}") from error

    def content(self) -> Iterable[str]:
        for row in self.table:
            cell = row[self.column]
            yield f"{cell['path']} {len(cell['bytes'] or b'')}"

    def in_memory(self) -> InMemory:
        """The same images, all of them decoded now."""
        channels, height, width = self.image(0).shape
        pixels = torch.empty(len(self), height, width, channels, dtype=torch.uint8)

        def decode_one(row: int) -> None:
            pixels[row] = self.image(row).permute(1, 2, 0)

        in_threads(decode_one, len(self), bar_from=IMAGES_WORTH_A_BAR, what="images")
        return InMemory(pixels)


def load_tables(
    tables: HfTables,
    fold: Fold | None,
    files: FileTransforms | None,
    *,
    in_channels: int,
    image_size: int,
    interpolation: str | None,
) -> LabelledSet:
    """Images of the tables; without a test part one is held out.

    Without `files` an image is its centre square, resized, and they are in memory if they fit.
    """
    rows, table = tables.list_rows()
    rows = divided(rows, fold, keep_groups=rows.groups is not None)
    images = partial(TableImages, table, tables.columns.image)
    form = {"in_channels": in_channels, "image_size": image_size}
    if files is None:
        squares = images(read=partial(load_image, **form, interpolation=interpolation))
        fits = len(squares) * image_size**2 * in_channels <= MAX_BYTES_IN_MEMORY
        return rows.with_examples(squares.in_memory() if fits else squares)
    read = partial(read_transformed, **form)
    workers = files.num_workers
    return rows.with_examples(
        images(read=partial(read, transforms=files.evaluate), num_workers=workers),
        images(read=partial(read, transforms=files.train), random=True, num_workers=workers),
    )


def hf(
    path: str | None,
    *,
    name: str | None = None,
    revision: str | None = None,
    splits: HfSplits,
    columns: HfColumns,
    num_classes: int | None = None,
    in_channels: int = 3,
    image_size: int = 32,
    interpolation: str | None = None,
    files: FileTransforms | None = None,
    batch_size: int = 128,
    val_split: float = 0.0,
    folds: int | None = None,
    fold: int | None = None,
    loading: Loading = STANDARD,
    augment: Augment,
    seed: int,
    sampler: str | None = None,
) -> ClassificationData:
    """Images with labels: a parquet file, a folder, or a data set of the Hugging Face hub.

    Without a test split the fold, or a fifth of each class, is held out as test. `num_classes` None
    is the number of the classes.
    """
    _check_parts(path, splits, val_split)
    check_size("hf", in_channels, image_size)
    check_interpolation(interpolation)
    has_val = splits.val is not None
    held_out = chosen_fold(
        folds, fold, has_test=splits.test is not None, has_val=has_val, val_split=val_split
    )
    form = {"in_channels": in_channels, "image_size": image_size, "interpolation": interpolation}
    tables = HfTables(path, splits, columns, name, revision)
    return ClassificationData(
        Source(
            partial(load_tables, tables, held_out, files, **form),
            load_file=evaluation_reader(files, **form),
            extensions=EXTENSIONS,
            input_shape=(in_channels, image_size, image_size),
            has_val=has_val,
            fold=held_out,
            list_classes=tables.class_names,
            loading=loading,
        ),
        num_classes=num_classes,
        batch_size=batch_size,
        val_split=val_split,
        augment=augment,
        seed=seed,
        sampler=sampler,
        keep_groups=columns.group is not None,
    )


def _check_parts(path: str | None, splits: HfSplits, val_split: float) -> None:
    if path is None:
        raise ValueError("hf needs a parquet file, a folder or a name: give dataset.path=PATH")
    if splits.val is not None and val_split > 0:
        raise ValueError(
            f"splits.val={splits.val} is validated, so val_split must be 0, not {val_split}"
        )
