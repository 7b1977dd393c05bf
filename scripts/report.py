"""Table and figures of the runs below a folder, or the differences between two runs.

python scripts/report.py outputs/ratio_ablation         report.md, .csv and .html into it
python scripts/report.py --diff RUN RUN                 config, metrics, versions, git
"""

import argparse
import sys
from pathlib import Path

from rich.console import Console

from ghostexp.results.collect import read_run
from ghostexp.results.diff import diff_runs
from ghostexp.results.formats import to_terminal
from ghostexp.results.report import report_on, write_report

WIDTH_OF_A_PIPE = 200


def main(arguments: list[str] | None = None) -> int:
    """Exit code: 1 with one sentence on what cannot be read, else 0."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", nargs="?", type=Path, help="folder with runs, at any depth")
    parser.add_argument("--out", type=Path, help="where the report goes (default: FOLDER)")
    parser.add_argument("--png", action="store_true", help="write the figures as PNG, too")
    parser.add_argument("--diff", nargs=2, type=Path, metavar="RUN", help="compare two runs")
    options = parser.parse_args(arguments)
    if (options.folder is None) == (options.diff is None):
        parser.error("give a folder of runs, or --diff and two runs")
    console = Console(width=None if sys.stdout.isatty() else WIDTH_OF_A_PIPE)
    try:
        if options.diff:
            runs = [read_run(folder) for folder in options.diff]
        else:
            report = report_on(options.folder)
    except ValueError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    if options.diff:
        console.print(diff_runs(*runs))
        return 0
    console.print(to_terminal(report))
    try:
        written = write_report(report, options.out or options.folder, png=options.png)
    except OSError as error:
        print(f"error: the report cannot be written: {error}", file=sys.stderr)
        return 1
    for path in written:
        console.print(f"wrote {path}", markup=False, highlight=False, soft_wrap=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
