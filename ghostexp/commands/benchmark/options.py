"""What several benchmarks take: their parser, the options they share, and the config."""

import argparse
import contextlib
import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

from omegaconf import DictConfig, OmegaConf

from ghostexp.config import cli
from ghostexp.config.audit import audit
from ghostexp.config.choices import CONFIG_FOLDER
from ghostexp.config.options import number, numbers, words
from ghostexp.config.printer import Printer, table_printer
from ghostexp.results.latency_file import Measured
from ghostexp.runs.inference import default_models

Writer = Callable[[Measured, Path], list[Path]]

CIFAR = ["dataset=cifar10"]
BATCH_SIZES = (128, 1)  # training and one image
WIDTH_OF_A_PIPE = 220


def new_parser(what: str, description: str) -> argparse.ArgumentParser:
    """The parser of one benchmark; all of them repeat their timings."""
    parser = argparse.ArgumentParser(
        prog=f"{os.path.basename(sys.argv[0])} {what}",
        description=description,
    )
    parser.add_argument("--rounds", type=number, default=7, help="counted, after one warm-up")
    return parser


def add_overrides(parser: argparse.ArgumentParser, defaults: list[str]) -> None:
    """The words of train.py, which come after `defaults`."""
    parser.add_argument(
        "overrides", nargs="*", help=f"as for train.py (without them: {' '.join(defaults)})"
    )
    cli.add_grant(parser)


def add_models(parser: argparse.ArgumentParser, *, batches: str, threads: str) -> None:
    """Networks, and the batch sizes and threads of their timings, with what the defaults are."""
    parser.add_argument(
        "--models",
        type=words,
        help=f"networks, and pairs a:b of a network and its twin (default:"
        f" {','.join(default_models())})",
    )
    parser.add_argument("--batch", type=numbers, help=f"images per batch (default: {batches})")
    parser.add_argument("--threads", type=numbers, help=f"default: {threads}")


def add_out(parser: argparse.ArgumentParser) -> None:
    """The folder that `check_out` looks at before anything is measured."""
    parser.add_argument("--out", type=Path, help="folder for the table and all rounds")


@contextlib.contextmanager
def composed(overrides: list[str]) -> Iterator[DictConfig]:
    """The config of a run that leaves nothing behind."""
    cfg = cli.compose_config(overrides)
    audit(cfg, [CONFIG_FOLDER])
    with tempfile.TemporaryDirectory() as folder:
        OmegaConf.update(cfg, "run_dir", folder)
        yield cfg


def console() -> Printer:
    """A printer that is wide enough for our tables."""
    return table_printer(WIDTH_OF_A_PIPE)


def write_out(write: Writer, everything: Measured, out: Path | None) -> None:
    """Let `write` put what was measured into the folder `out`, if there is one, and say where."""
    if out is not None:
        for path in write(everything, out):
            print(f"wrote {path}")
