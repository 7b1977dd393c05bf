"""A confusion matrix as a picture and as a table."""

import csv
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from torch import Tensor

from ghostexp.pictures.text import plain

MAX_CELLS_WITH_NUMBERS = 20


def confusion_figure(confusion: np.ndarray, names: list[str]) -> Figure:
    """Picture of a confusion matrix [true, predicted], rows as shares of the true class."""
    names = [plain(name) for name in names]
    shares = confusion / confusion.sum(axis=1, keepdims=True).clip(min=1)
    size = 3 + 0.4 * min(len(names), 40)
    figure = Figure(figsize=(size + 0.8, size), layout="constrained")
    axes = figure.add_subplot()
    image = axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    figure.colorbar(image, ax=axes, label="share of the true class", shrink=0.8)
    axes.set(xlabel="predicted", ylabel="true")
    if len(names) <= MAX_CELLS_WITH_NUMBERS:
        axes.set_xticks(range(len(names)), names, rotation=45, ha="right")
        axes.set_yticks(range(len(names)), names)
        for (row, column), count in np.ndenumerate(confusion):
            if count:
                color = "white" if shares[row, column] > 0.5 else "black"
                axes.text(column, row, count, ha="center", va="center", color=color, fontsize=8)
    return figure


def write_confusion(path: Path, confusion: Tensor, names: list[str]) -> None:
    """Confusion matrix as CSV: one row per true class, its accuracy in the last column."""
    rows = [["true", *names, "accuracy"]]
    for index, (name, counts) in enumerate(zip(names, confusion.tolist(), strict=True)):
        accuracy = counts[index] / max(1, sum(counts))
        rows.append([name, *counts, f"{accuracy:.4f}"])
    with path.open("w", newline="", encoding="utf-8", errors="backslashreplace") as file:
        csv.writer(file).writerows(rows)
