"""Convert, train, fuse and export every network of torchvision and hundreds of timm's; a table.

ghostexp any_network                     all, into outputs/published/any_network
ghostexp any_network --export            with an ONNX file of each, run in ONNX Runtime
ghostexp any_network timm.resnet18 torchvision.vgg11 --out /tmp/two

Each network runs in a process of its own, so that a crash or a lack of memory is a row of the
table. A row that is there is not made again: an interrupted run is started again with the same
command, and --again makes all rows new. networks.txt beside the table lists the networks; without
this file the smallest networks of each family are chosen.
"""

import argparse
from pathlib import Path

from ghostexp.config import cli
from ghostexp.config.options import check_out, number
from ghostexp.runs.any_network_names import names
from ghostexp.runs.any_network_table import make_rows, read_rows, write_table
from ghostexp.runs.machine import allowed_cores

FOLDER = Path("outputs/published/any_network")


@cli.script
def main(arguments: list[str] | None = None) -> int:
    """Exit code: 1 where a row stopped, else 0."""
    options = _parser().parse_args(arguments)
    check_out(options.out)
    rows_file = options.out / "rows.jsonl"
    if options.again:
        rows_file.unlink(missing_ok=True)
    wanted = options.networks or chosen(options.out / "networks.txt", options.per_family)
    done = {row.network for row in read_rows(rows_file)}
    make_rows(
        [name for name in wanted if name not in done],
        rows_file,
        export=options.export,
        workers=options.workers,
        timeout=options.timeout,
    )
    rows = [row for row in read_rows(rows_file) if row.network in set(wanted)]
    print(write_table(rows, options.out / "report.md"))
    return int(any(row.stopped for row in rows))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("networks", nargs="*", help="such as timm.resnet18 (default: all)")
    parser.add_argument("--export", action="store_true", help="ONNX too, which takes longest")
    parser.add_argument("--again", action="store_true", help="make rows that are there, too")
    parser.add_argument(
        "--per-family", type=number, default=4, help="timm's (default: %(default)s)"
    )
    parser.add_argument("--out", type=Path, default=FOLDER, help="folder (default: %(default)s)")
    parser.add_argument("--workers", type=number, default=allowed_cores(), help="processes")
    parser.add_argument("--timeout", type=number, default=300, help="seconds for one network")
    return parser


def chosen(path: Path, per_family: int) -> list[str]:
    """The networks that the file lists. Without a file they are chosen, which takes minutes."""
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("\n".join(names(per_family)) + "\n")
    return path.read_text().split()
