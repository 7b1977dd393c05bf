"""Test a finished run again, from its folder alone, and compare with what its record says.

python scripts/evaluate.py outputs/train/RUN                accuracy, loss, top-5, a row a class;
                                                            of a detector COCO's twelve numbers
python scripts/evaluate.py outputs/train/RUN --split val    on its validation images
"""

import argparse
import logging
import sys
from pathlib import Path

from ghostexp.config import cli
from ghostexp.config.cli import UserError
from ghostexp.config.output import Printer
from ghostexp.runs.evaluate import (
    SPLITS,
    class_table,
    coco_table,
    evaluate_detector,
    evaluate_run,
    precision_table,
    sentences,
)
from ghostexp.runs.load import task_class
from ghostexp.tasks import ClassificationTask, DetectionTask

EVALUATIONS = {  # task -> evaluation, what is shown of it
    ClassificationTask: (evaluate_run, [class_table]),
    DetectionTask: (evaluate_detector, [coco_table, precision_table]),
}


@cli.script
def main(arguments: list[str] | None = None) -> int:
    """Exit code: 1 for what is no run, or a record that says something else, else 0."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", type=Path, help="folder of a run")
    parser.add_argument("--split", choices=SPLITS, default="test", help="default: %(default)s")
    cli.add_grant(parser)
    options = parser.parse_args(arguments)
    logging.getLogger("pytorch_lightning.utilities.rank_zero").setLevel(logging.WARNING)  # tips
    task = task_class(options.run)
    known = next((kind for kind in EVALUATIONS if issubclass(task, kind)), None)
    if known is None:
        names = " or ".join(kind.__name__ for kind in EVALUATIONS)
        raise UserError(f"{options.run} is of {task.__name__}, which is no {names}")
    evaluate, tables = EVALUATIONS[known]
    evaluation = evaluate(options.run, options.split)
    console = Printer()
    for table in tables:
        console.print(table(evaluation))
    for sentence in sentences(evaluation):
        console.print(sentence, markup=False, highlight=False, soft_wrap=True)
    return 1 if evaluation.contradicts else 0


if __name__ == "__main__":
    sys.exit(main())
