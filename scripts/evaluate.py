"""Test a finished run again, from its folder alone, and compare with what its record says.

python scripts/evaluate.py outputs/train/RUN                accuracy, loss, top-5, a row a class
python scripts/evaluate.py outputs/train/RUN --split val    on its validation images
"""

import argparse
import sys
from pathlib import Path

from rich.console import Console

from ghostexp.cli import UserError
from ghostexp.evaluate import SPLITS, class_table, evaluate_run, sentences


def main(arguments: list[str] | None = None) -> int:
    """Exit code: 1 for what is no run, or a record that says something else, else 0."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", type=Path, help="folder of a run")
    parser.add_argument("--split", choices=SPLITS, default="test", help="default: %(default)s")
    options = parser.parse_args(arguments)
    try:
        evaluation = evaluate_run(options.run, options.split)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    console = Console()
    console.print(class_table(evaluation))
    for sentence in sentences(evaluation):
        console.print(sentence, markup=False, highlight=False, soft_wrap=True)
    return 1 if evaluation.contradicts else 0


if __name__ == "__main__":
    sys.exit(main())
