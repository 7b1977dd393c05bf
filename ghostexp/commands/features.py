"""Look into a trained network: intrinsic maps, the ghosts made of them, and how alike they are.

ghostexp features RUN --index 12 [--layer NAME]    picture and numbers for a test image
ghostexp features RUN --file FILE                  for an image or recording of your own
ghostexp features RUN --statistics                 are ghosts shifted, smoothed copies?
ghostexp features RUN --redundancy                 of a dense network: is a map a cheap
                                                   function of another map of its layer?
"""

import argparse
import csv
import logging
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from rich.progress import track
from rich.table import Table
from torch import Tensor

from ghostexp.analysis.features import choose_layer, ghost_modules
from ghostexp.analysis.ghost_copies import ghost_statistics, summarise
from ghostexp.analysis.redundancy import (
    KERNEL_SIZES,
    RedundancyRow,
    dense_convolutions,
    measure_redundancy,
)
from ghostexp.config import cli
from ghostexp.config.build import Parts
from ghostexp.config.explain import UserError
from ghostexp.config.mistakes import users_mistakes
from ghostexp.config.printer import table_printer
from ghostexp.files.folders import remove_if_empty
from ghostexp.pictures.copies import picture_copies
from ghostexp.pictures.ghosts import picture_ghosts
from ghostexp.runs.load import load_run

DEFAULT_IMAGES = {"statistics": 1000, "redundancy": 64}
ERRORS = [f"MSE d={size}" for size in KERNEL_SIZES]
SHARES = [f"MSE <= 0.1, d={size}" for size in KERNEL_SIZES]
PAPERS_SHARE = "MSE <= 0.1, d=3"  # the kernel size of its experiments
DPI = 150
WIDTH_OF_A_PIPE = 160


@cli.script
def main(arguments: list[str] | None = None) -> int:
    """Exit code: 1 with one sentence for a user's slip, else 0."""
    options = _parser().parse_args(arguments)
    if options.images is not None and not (options.statistics or options.redundancy):
        raise UserError("--images is for --statistics and --redundancy: a picture shows one image")
    logging.getLogger("pytorch_lightning").setLevel(logging.WARNING)
    _, parts = load_run(options.run)
    out = options.out or options.run / "features"
    with users_mistakes("features"):
        parts.datamodule.setup("test")
        out.mkdir(parents=True, exist_ok=True)
        try:
            _report(parts, options, out)
        finally:
            remove_if_empty(out)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("run", type=Path, help="folder of a run")
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--index", type=int, help="of the run's test images")
    what.add_argument("--file", "--image", type=Path, help="an image, or a recording")
    what.add_argument("--statistics", action="store_true", help="all ghosts, over test images")
    what.add_argument("--redundancy", action="store_true", help="all maps, over test images")
    parser.add_argument("--layer", help="a Ghost module; with --redundancy a convolution")
    parser.add_argument(
        "--images", type=int, help=f"test images of the last two {DEFAULT_IMAGES}; 0: all"
    )
    parser.add_argument("--out", type=Path, help="folder for the files (default: RUN/features)")
    cli.add_grant(parser)
    return parser


def _report(parts: Parts, options: argparse.Namespace, out: Path) -> None:
    if options.statistics:
        report_statistics(parts, options, out)
    elif options.redundancy:
        report_redundancy(parts, options, out)
    else:
        report_image(parts, options, out)


def report_image(parts: Parts, options: argparse.Namespace, out: Path) -> None:
    """Picture and numbers of one layer for one image."""
    net, datamodule = parts.task.net, parts.datamodule
    layer = choose_layer(net, options.layer)
    if options.file is not None:
        example = datamodule.source.load_file(options.file)
        caption, stem = "/".join(options.file.parts[-2:]), options.file.stem
    else:
        example, label = datamodule.test_example(options.index)
        caption = f"{datamodule.class_names[label]}, test image {options.index}"
        stem = f"test_{options.index}"
    inputs = datamodule.augment.evaluate(example[None])
    picture = datamodule.augment.picture(inputs)[0]
    figure, rows = picture_ghosts(net, layer, inputs, picture, caption)
    path = out / f"{layer}_{stem}.png"
    figure.savefig(path, dpi=DPI)
    _write(path.with_suffix(".csv"), [asdict(row) for row in rows])
    table = _table(
        f"{layer}: {caption}",
        ["ghost", "of map", "correlation", "explained", "down", "right", "sigma", "one sign"],
    )
    for row in rows:
        sign = " inverted" if row.inverted else ""
        table.add_row(
            str(row.ghost), str(row.intrinsic), f"{row.correlation:+.2f}",
            f"{row.explained:.1%}{sign}", f"{row.down:+d}", f"{row.right:+d}", f"{row.sigma:.1f}",
            f"{row.one_sign:.2f}",
        )  # fmt: skip
    _print(table, path, path.with_suffix(".csv"))


def report_statistics(parts: Parts, options: argparse.Namespace, out: Path) -> None:
    """Numbers of every ghost of every Ghost module, or of one, over test images."""
    net = parts.task.net
    first = choose_layer(net, options.layer)
    layers = [first] if options.layer else list(ghost_modules(net))
    count = _count(parts, options, "statistics")
    rows, control = ghost_statistics(net, layers, TestImages(parts, count, "looking at ghosts"))
    by_layer = [summarise(name, [row for row in rows if row.layer == name]) for name in layers]
    random = [summarise(name, [row for row in control if row.layer == name]) for name in layers]
    whole = [summarise("all ghosts", rows), summarise("control: random kernels", control)]
    table = _table(
        f"Ghosts and their intrinsic maps, means over {count} test images",
        ["layer", "ghosts", "dead", "|correlation|", "explained by a copy", "copies >= 90 %",
         "moved", "inverted", "sigma", "one sign"],
    )  # fmt: skip
    for row in [*by_layer, *whole]:
        table.add_row(
            row.layer, str(row.ghosts), str(row.dead), f"{row.abs_correlation:.2f}",
            f"{row.explained:.0%}", f"{row.good_copies:.0%}", f"{row.moved:.0%}",
            f"{row.inverted:.0%}", f"{row.sigma:.2f}", f"{row.one_sign:.2f}",
        )  # fmt: skip
    _write(out / "ghosts.csv", [asdict(row) for row in rows])
    _write(out / "layers.csv", [asdict(row) for row in [*by_layer, *whole]])
    _write(out / "control.csv", [asdict(row) for row in random])
    picture_copies(by_layer, random).savefig(out / "copies.png", dpi=DPI)
    _print(
        table, *(out / name for name in ("layers.csv", "control.csv", "ghosts.csv", "copies.png"))
    )


def report_redundancy(parts: Parts, options: argparse.Namespace, out: Path) -> None:
    """Error of every map as a cheap function of another, by layer and kernel size."""
    net = parts.task.net
    known = dense_convolutions(net)
    if options.layer is not None and options.layer not in known:
        raise UserError(f"layer {options.layer!r} is no dense convolution, such as {known[0]!r}")
    layers = [options.layer] if options.layer else known
    count = _count(parts, options, "redundancy")
    batches = list(TestImages(parts, count, "reading images"))
    measured = [
        measure_redundancy(net, layer, batches)
        for layer in track(layers, "fitting maps by each other", transient=True)
    ]
    records = [_as_record(row) for row in measured]
    whole = {"layer": "mean of the layers", "maps": "", "dead": ""}
    for name in [*ERRORS, *SHARES]:
        whole[name] = sum(record[name] for record in records) / len(records)
    table = _table(
        f"Each map by a d x d kernel over its best partner, {count} test images",
        ["layer", "maps", "dead", *ERRORS, PAPERS_SHARE],
    )
    for record in [*records, whole]:
        cells = [str(record[name]) for name in ("layer", "maps", "dead")]
        cells += [f"{record[name]:.3f}" for name in ERRORS]
        table.add_row(*cells, f"{record[PAPERS_SHARE]:.0%}")
    _write(out / "redundancy.csv", records)
    _print(table, out / "redundancy.csv")


def _as_record(row: RedundancyRow) -> dict[str, Any]:
    """One line of redundancy.csv."""
    return (
        {"layer": row.layer, "maps": row.maps, "dead": row.dead}
        | dict(zip(ERRORS, row.errors.values(), strict=True))
        | dict(zip(SHARES, row.redundant.values(), strict=True))
    )


def _count(parts: Parts, options: argparse.Namespace, what: str) -> int:
    available = len(parts.datamodule.labelled_set.test)
    wanted = DEFAULT_IMAGES[what] if options.images is None else options.images
    if wanted < 0:
        raise UserError(f"--images is a number of test images, 0 for all, not {wanted}")
    return min(wanted or available, available)


class TestImages:
    """`count` normalised test images, spread evenly over the test set, in batches; any times."""

    def __init__(self, parts: Parts, count: int, label: str) -> None:
        self.datamodule = parts.datamodule
        self.count = count
        self.label = label

    def __iter__(self) -> Iterator[Tensor]:
        data = self.datamodule
        test = data.labelled_set.test
        spread = torch.linspace(0, len(test) - 1, self.count).round().long()
        for indices in track(test[spread].split(data.batch_size), self.label, transient=True):
            yield data.augment.evaluate(data.labelled_set.examples[indices])


def _table(title: str, columns: list[str]) -> Table:
    table = Table(title=title, title_justify="left")
    for index, column in enumerate(columns):
        table.add_column(column, justify="right" if index else "left")
    return table


def _write(path: Path, rows: list[dict[str, Any]]) -> None:
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def _print(table: Table, *written: Path) -> None:
    console = table_printer(WIDTH_OF_A_PIPE)
    console.print(table)
    for path in written:
        console.print(f"wrote {path}", markup=False, highlight=False, soft_wrap=True)
