"""Table and figures of the runs below a folder, or the differences between two runs.

ghostexp report outputs/ratio_ablation         report.md, .csv and .html into it
ghostexp report --diff RUN RUN                 config, metrics, versions, git
"""

import argparse
import shutil
import sys
from pathlib import Path

from rich.console import RenderableType

from ghostexp.config.cli import script
from ghostexp.config.explain import UserError
from ghostexp.config.printer import Printer
from ghostexp.results.collect import read_run
from ghostexp.results.diff import diff_runs
from ghostexp.results.report import report_on, write_report
from ghostexp.results.terminal import to_terminal

WIDTH_OF_A_PIPE = 200


@script
def main(arguments: list[str] | None = None) -> int:
    """Exit code: 1 with one sentence on what cannot be read or written, else 0."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", nargs="?", type=Path, help="folder with runs, at any depth")
    parser.add_argument("--out", type=Path, help="where the report goes (default: FOLDER)")
    parser.add_argument("--png", action="store_true", help="write the figures as PNG, too")
    parser.add_argument("--diff", nargs=2, type=Path, metavar="RUN", help="compare two runs")
    options = parser.parse_args(arguments)
    if (options.folder is None) == (options.diff is None):
        parser.error("give a folder of runs, or --diff and two runs")
    if options.diff and (options.png or options.out):
        parser.error("--diff prints and writes no file: leave out --out and --png")
    width = shutil.get_terminal_size((WIDTH_OF_A_PIPE, 24)).columns
    try:
        if options.diff:
            return show([diff_runs(*map(read_run, options.diff))], width)
        report = report_on(options.folder)
    except ValueError as error:
        raise UserError(str(error)) from error
    try:
        written = write_report(report, options.out or options.folder, png=options.png)
    except OSError as error:
        raise UserError(f"the report cannot be written: {error}") from error
    return show([to_terminal(report, width), *(f"wrote {path}" for path in written)], width)


def show(parts: list[RenderableType], width: int) -> int:
    """Print the parts."""
    sys.stdout.reconfigure(errors="replace")  # an escape would be wider than its column
    printer = Printer(width=width)
    try:
        for part in parts:
            is_line = isinstance(part, str)
            printer.print(part, markup=False, highlight=False, soft_wrap=is_line, crop=False)
        sys.stdout.flush()
    except BrokenPipeError:  # a reader that has gone
        raise
    except OSError as error:
        raise UserError(f"the report cannot be printed: {error}") from error
    return 0
