"""Learning curves of a run, from each `metrics.csv` below its folder."""

import csv
from collections import defaultdict
from pathlib import Path

from ghostexp.results.text import as_number, natural, one_line

FILE_NAME = "metrics.csv"

Curves = dict[str, dict[int, float]]  # metric -> epoch, counted from 1 -> value


def read_curves(directory: Path) -> Curves:
    """The last value of every metric in every epoch; a ValueError that names a broken file.

    The files count epochs from 0, as Lightning does.
    """
    curves: Curves = defaultdict(dict)
    for path in sorted(directory.rglob(FILE_NAME), key=lambda path: natural(str(path))):
        try:
            _read(path, curves)
        except (OSError, ValueError, csv.Error) as error:
            raise ValueError(f"{path} cannot be read ({one_line(str(error))})") from error
    return dict(curves)


def _read(path: Path, curves: Curves) -> None:
    with path.open(newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            epoch = as_number(row.get("epoch"))
            for name, text in row.items():
                value = as_number(text)
                if name and epoch is not None and value is not None:
                    curves[name.removesuffix("_epoch")][int(epoch) + 1] = value
