"""Classes and probabilities of image or audio files by a trained run, from its folder alone.

python scripts/predict.py outputs/train/RUN cat.jpg photos/     JSON, a line a file
python scripts/predict.py outputs/train/RUN *.wav               recordings of any rate and length
python scripts/predict.py outputs/train/RUN photos/ --csv       a row a file
"""

import argparse
import csv
import json
import sys
from collections.abc import Iterator
from pathlib import Path

from ghostexp.cli import UserError
from ghostexp.predict import Prediction, Predictor


def main(arguments: list[str] | None = None) -> int:
    """Exit code: 1 for what is no run, or when a file could not be read, else 0."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", type=Path, help="folder of a run")
    parser.add_argument(
        "files", nargs="+", type=Path, help="images or recordings, or folders of them"
    )
    parser.add_argument("--csv", action="store_true", help="CSV in place of JSON lines")
    parser.add_argument("--top", type=_positive, default=5, help="classes a file (%(default)s)")
    parser.add_argument("--batch-size", type=_positive, default=64, help="default: %(default)s")
    options = parser.parse_args(arguments)
    failures: list[str] = []

    def complain(sentence: str) -> None:
        failures.append(sentence)
        print(f"error: {sentence}", file=sys.stderr)

    try:
        predictor = Predictor(options.run)
    except UserError as error:
        complain(str(error))
        return 1
    top = min(options.top, len(predictor.class_names))
    predictions = predictor.predict(
        predictor.find(options.files), top=top, batch_size=options.batch_size, complain=complain
    )
    if options.csv:
        write_csv(predictions, top)
    else:
        write_json_lines(predictions)
    return 1 if failures else 0


def write_json_lines(predictions: Iterator[Prediction]) -> None:
    """{"file", "class", "probability", "top": [{"class", "probability"}, ...]} a line."""
    for prediction in predictions:
        top = [{"class": name, "probability": share} for name, share in prediction.ranking]
        print(json.dumps({"file": prediction.file, **top[0], "top": top}))


def write_csv(predictions: Iterator[Prediction], top: int) -> None:
    """file, class, probability, class_2, probability_2, ... a row."""
    writer = csv.writer(sys.stdout)
    further = [f"{name}_{k}" for k in range(2, top + 1) for name in ("class", "probability")]
    writer.writerow(["file", "class", "probability", *further])
    for prediction in predictions:
        ranking = [value for pair in prediction.ranking for value in pair]
        writer.writerow([prediction.file, *ranking])


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"must be at least 1, not {number}")
    return number


if __name__ == "__main__":
    sys.exit(main())
