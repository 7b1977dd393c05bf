"""Test a network again and say how many examples are right; a run is compared with its record.

ghostexp evaluate RUN                          accuracy, loss, top-5, a row for each class; of
                                               a detector COCO's twelve numbers
ghostexp evaluate RUN --split val              on its validation examples
ghostexp evaluate RUN dataset.root=FOLDER      where the data of the run have moved to
ghostexp evaluate RUN --engine openvino        computed by an engine
ghostexp evaluate RUN/export/onnx_int8.onnx    an exported file
ghostexp evaluate model=resnet56 model.shortcut=A model.weights=FILE dataset=cifar10
    any weights, by overrides of train.py, without a run
"""

import argparse
import logging

from ghostexp.config import cli
from ghostexp.config.printer import Printer
from ghostexp.deploy.in_engine import ENGINES
from ghostexp.runs.evaluate import (
    SPLITS,
    class_table,
    coco_table,
    evaluate,
    precision_table,
    sentences,
)
from ghostexp.runs.subject import subject_of


@cli.script
def main(arguments: list[str] | None = None) -> int:
    """Exit code: 1 for a user's slip, or a record that says something else, else 0."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    cli.add_subject(parser)
    parser.add_argument("--split", choices=SPLITS, default="test", help="default: %(default)s")
    parser.add_argument("--engine", choices=ENGINES, help="what computes (default: torch)")
    cli.add_grant(parser)
    options = parser.parse_args(arguments)
    logging.getLogger("pytorch_lightning.utilities.rank_zero").setLevel(logging.WARNING)  # tips
    evaluation = evaluate(subject_of(options.subject, options.engine), options.split)
    is_classifier = evaluation.confusion is not None
    console = Printer()
    for table in [class_table] if is_classifier else [coco_table, precision_table]:
        console.print(table(evaluation))
    for sentence in sentences(evaluation):
        console.print(sentence, markup=False, highlight=False, soft_wrap=True)
    return 1 if evaluation.contradicts else 0
