"""What a run's network says of files and of things in memory, for `Run.predict`."""

import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from ghostexp.config.explain import UserError
from ghostexp.runs.detect import Detector
from ghostexp.runs.given import Given, as_files, in_memory
from ghostexp.runs.load import task_class
from ghostexp.runs.predict import Predictor
from ghostexp.tasks import DetectionTask

log = logging.getLogger(__name__)

Answer = dict[str, Any]
Answers = Callable[[Sequence[Given]], list[Answer]]

TOP, BATCH_SIZE, MIN_SCORE = 5, 64, 0.5  # defaults of `ghostexp predict`, too


def answering(directory: Path) -> Answers:
    """A function from inputs to answers, with the network of the run in memory."""
    if issubclass(task_class(directory), DetectionTask):
        detector = Detector(directory)

        def detections(paths: list[Path]) -> list[Answer]:
            found = detector.detect(paths, complain=_refuse)
            return [detector.describe(each, MIN_SCORE) for each in found]

        return lambda given: _answers(given, detections, None)
    predictor = Predictor(directory)

    def classes(paths: list[Path]) -> list[Answer]:
        if any(map(predictor.loses_colours, paths)):
            log.warning("the network sees grey: it is given the images without their colours")
        found = predictor.predict(paths, top=TOP, batch_size=BATCH_SIZE, complain=_refuse)
        return [each.described() for each in found]

    return lambda given: _answers(given, classes, predictor.sample_rate)


def _answers(
    given: Sequence[Given], ask: Callable[[list[Path]], list[Answer]], sample_rate: int | None
) -> list[Answer]:
    with as_files(given, sample_rate) as paths:
        answers = ask(paths)
    return [
        answer | {"file": None} if in_memory(each) else answer
        for each, answer in zip(given, answers, strict=True)
    ]


def _refuse(reason: str) -> None:
    raise UserError(reason)
