"""Classes of image or audio files, or the objects in images, by a run or an exported file.

ghostexp predict outputs/train/RUN cat.jpg photos/     JSON, one line per file
ghostexp predict outputs/train/RUN *.wav               recordings of any rate and length
ghostexp predict outputs/train/RUN photos/ --csv       one row per file
ghostexp predict outputs/train/RUN photos/ --engine onnxruntime    or native, openvino
ghostexp predict RUN/export/onnx_fp32.onnx photos/     by an exported file
ghostexp predict outputs/train/DETECTOR photos/ --output DIR
    boxes as JSON, one line per file; in DIR a picture of each, and results.json with every
    detection in COCO's results format: image_id is a file's place on the command line, from 1
"""

import argparse
import csv
import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

from ghostexp.config import cli
from ghostexp.config.explain import UserError
from ghostexp.config.options import number
from ghostexp.deploy.in_engine import ENGINES
from ghostexp.runs.answers import BATCH_SIZE, MIN_SCORE, TOP
from ghostexp.runs.detect import Detector, coco_results, picture_paths, write_results
from ghostexp.runs.load import task_class
from ghostexp.runs.predict import Prediction, Predictor
from ghostexp.tasks import DetectionTask

FOR_CLASSES = {  # option -> why a detector does not take it
    "csv": "classes: boxes come as JSON lines",
    "engine": "classifiers: a detector is computed by torch",
    "top": "classifiers: --min-score chooses a detector's boxes",
    "batch_size": "classifiers: a detector takes one image at a time",
}
FOR_BOXES = {  # option -> why a classifier does not take it
    "output": "detectors: a classifier gives no boxes to draw",
    "min_score": "detectors: --top chooses a classifier's classes",
}


@cli.script
def main(arguments: list[str] | None = None) -> int:
    """Exit code: 1 for what is no run, or when a file could not be read, else 0."""
    options = _parser().parse_args(arguments)
    failures: list[str] = []

    def complain(sentence: str) -> None:
        failures.append(sentence)
        print(f"error: {sentence}", file=sys.stderr)

    if not options.run.is_file() and issubclass(task_class(options.run), DetectionTask):
        detect(options, complain)
    else:
        classify(options, complain)
    return 1 if failures else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("run", type=Path, help="folder of a run, or an exported file")
    parser.add_argument(
        "files", nargs="+", type=Path, help="images or recordings, or folders of them"
    )
    parser.add_argument("--csv", action="store_true", help="CSV in place of JSON lines")
    parser.add_argument("--top", type=number, help=f"classes per file (default: {TOP})")
    parser.add_argument("--batch-size", type=number, help=f"default: {BATCH_SIZE}")
    parser.add_argument("--output", type=Path, help="folder for a detector's pictures and results")
    parser.add_argument(
        "--min-score", type=float, help=f"of boxes told and drawn (default: {MIN_SCORE})"
    )
    parser.add_argument("--engine", choices=ENGINES, help="what computes (default: torch)")
    cli.add_grant(parser)
    return parser


def classify(options: argparse.Namespace, complain: Callable[[str], None]) -> None:
    """Tell the most probable classes of each file."""
    _refuse(options, FOR_BOXES)
    predictor = Predictor(options.run, options.engine)
    top = min(options.top or TOP, len(predictor.class_names))
    files = predictor.find(options.files)
    coloured = next(filter(predictor.loses_colours, files), None)
    if coloured is not None:
        print(f"note: the network sees grey: {coloured} is read without colours", file=sys.stderr)
    predictions = predictor.predict(
        files,
        top=top,
        batch_size=options.batch_size or BATCH_SIZE,
        complain=complain,
    )
    if options.csv:
        write_csv(predictions, top)
    else:
        write_json_lines(predictions)


def detect(options: argparse.Namespace, complain: Callable[[str], None]) -> None:
    """Tell the objects of each file; with --output, draw them and write all as COCO results."""
    _refuse(options, FOR_CLASSES)
    min_score = MIN_SCORE if options.min_score is None else options.min_score
    detector = Detector(options.run)
    files = detector.find(options.files)
    image_ids = {file: image_id for image_id, file in enumerate(files, start=1)}
    results = []
    if options.output is not None:
        options.output.mkdir(parents=True, exist_ok=True)
        pictures = dict(zip(files, picture_paths(options.output, files), strict=True))
    for each in detector.detect(files, complain=complain):
        print(json.dumps(detector.describe(each, min_score)))
        if options.output is not None:
            detector.draw(each, min_score, pictures[each.file])
            results += coco_results(image_ids[each.file], each.found, detector.category_ids)
    if options.output is not None:
        write_results(options.output / "results.json", results)


def write_json_lines(predictions: Iterator[Prediction]) -> None:
    """{"file", "class", "probability", "top": [{"class", "probability"}, ...]} a line."""
    for prediction in predictions:
        print(json.dumps(prediction.described()))


def write_csv(predictions: Iterator[Prediction], top: int) -> None:
    """file, class, probability, class_2, probability_2, ... a row."""
    writer = csv.writer(sys.stdout)
    further = [f"{name}_{k}" for k in range(2, top + 1) for name in ("class", "probability")]
    writer.writerow(["file", "class", "probability", *further])
    for prediction in predictions:
        ranking = [value for pair in prediction.ranking for value in pair]
        writer.writerow([prediction.file, *ranking])


def _refuse(options: argparse.Namespace, reasons: dict[str, str]) -> None:
    """`UserError` for an option that was given and would change nothing."""
    for option, reason in reasons.items():
        given = getattr(options, option)
        if given is not None and given is not False:
            raise UserError(f"--{option.replace('_', '-')} is for {reason}")
