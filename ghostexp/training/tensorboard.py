"""Curves in TensorBoard that are whole after a kill, a resume and an extension of a run.

TensorBoard's default reader (`--load_fast=auto`) drops of each curve what stands after a step that
goes back, over all event files of a folder in the order of their names. EventFile keeps that order,
and TensorBoard removes what a resumed run does again. Read in tensorboard 2.21, torch 2.15 and
Lightning 2.6.
"""

import io
import time
from argparse import Namespace
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
from matplotlib.figure import Figure
from pytorch_lightning.loggers import TensorBoardLogger
from pytorch_lightning.loggers.logger import rank_zero_experiment
from pytorch_lightning.utilities import rank_zero_only
from tensorboard.backend.event_processing.event_file_loader import RawEventFileLoader
from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.summary.writer.record_writer import RecordWriter
from torch.utils.tensorboard import FileWriter, SummaryWriter

from ghostexp.files.append import append
from ghostexp.files.atomic import replacing
from ghostexp.training.loggers import outlives

PREFIX = "events.out.tfevents."  # TensorBoard reads files whose names have `tfevents`
HYPERPARAMETERS = "_hparams_/"
NOT_A_CURVE = {"epoch"}  # Lightning adds it to every call


class EventFile:
    """An event file to which each event is written at once.

    TensorBoard's own EventFileWriter hands events to a thread, and waits for it at the end: an
    interrupt in between makes it wait for ever. Names hold the time, and a clock that is set back
    never lets a later file come before an earlier one.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.path: Path | None = None  # made with the first event

    def get_logdir(self) -> str:
        return str(self.directory)

    def earlier(self) -> list[Path]:
        """Event files of earlier launches."""
        return [path for path in event_files(self.directory) if path != self.path]

    def add_event(self, event: Event) -> None:
        if self.path is None:
            self.path = self._begin()
        append(self.path, _record(event.SerializeToString()))

    def _begin(self) -> Path:
        self.directory.mkdir(parents=True, exist_ok=True)
        last = max((_number(path) for path in event_files(self.directory)), default=0)
        path = self.directory / f"{PREFIX}{max(int(time.time()), last + 1):010d}.ghostexp"
        version = Event(wall_time=time.time(), file_version="brain.Event:2")
        append(path, _record(version.SerializeToString()))
        return path

    def flush(self) -> None:
        """Everything is written already."""

    def close(self) -> None:
        """No file is open."""

    reopen = close


class DirectFileWriter(FileWriter):
    """torch's FileWriter over an EventFile."""

    def __init__(self, directory: Path) -> None:
        self.event_writer = EventFile(directory)


class DirectWriter(SummaryWriter):
    """torch's SummaryWriter over an EventFile; it has no thread."""

    def _get_file_writer(self) -> DirectFileWriter:
        if self.file_writer is None:
            self.file_writer = DirectFileWriter(Path(self.log_dir))
            self.all_writers = {str(self.log_dir): self.file_writer}
        return self.file_writer


class TensorBoard(TensorBoardLogger):
    """Lightning's logger for TensorBoard, whose curves stay whole; it writes into `directory`."""

    def __init__(self, directory: str) -> None:
        self.directory = Path(directory)
        version = self.directory.name
        super().__init__(self.directory.parent, name=None, version=version, default_hp_metric=False)
        self.first: tuple[set[str], int] | None = None  # tags and step of the first call
        self.started = False

    @property
    @rank_zero_experiment
    def experiment(self) -> SummaryWriter:
        if self._experiment is None:
            self._experiment = DirectWriter(self.directory)
        return self._experiment

    @rank_zero_only
    def log_metrics(self, metrics: dict[str, float], step: int | None = None) -> None:
        """Add a point to the curve of each metric; the first call cuts what is done again."""
        curves = {_utf8(tag): metrics[tag] for tag in metrics if tag not in NOT_A_CURVE}
        if not curves:
            return
        self.first = self.first or (set(curves), step)
        if not self.started:
            for path in self.experiment.file_writer.event_writer.earlier():
                cut(path, *self.first)
            self.started = True
        for tag, value in curves.items():
            self.experiment.add_scalar(tag, value, step)

    @rank_zero_only
    def log_hyperparams(self, params: dict[str, Any] | Namespace, *args: Any) -> None:
        """What a person says of the run, on the page TEXT.

        The numbers come with the results, by `log_hyperparameters`.
        """
        tags = ", ".join(map(str, params.get("tags") or []))
        said = [params.get("title"), tags, params.get("notes")]
        text = "\n\n".join(_utf8(str(part)) for part in said if part)
        if text:
            self.experiment.add_text("run", text, 0)

    @rank_zero_only
    def add_summary(self, summary: Summary, step: int) -> None:
        """Write a summary that has no method of its own."""
        self.experiment.file_writer.add_summary(summary, step)

    @rank_zero_only
    def add_picture(self, tag: str, figure: Figure, step: int, dpi: int = 100) -> None:
        """Show a figure, as it is, among the images."""
        png = io.BytesIO()
        figure.savefig(png, format="png", dpi=dpi)
        width, height = (int(side * dpi) for side in figure.get_size_inches())
        image = Summary.Image(
            height=height, width=width, colorspace=4, encoded_image_string=png.getvalue()
        )
        self.add_summary(Summary(value=[Summary.Value(tag=_utf8(tag), image=image)]), step)

    @rank_zero_only
    def save(self) -> None:
        """Everything is written already; Lightning's own would add an empty hparams.yaml."""

    @rank_zero_only
    def finalize(self, status: str) -> None:
        """Nothing is open."""


def tensorboards(trainer: pl.Trainer) -> list[TensorBoard]:
    """The loggers of a trainer that show pictures."""
    return [logger for logger in trainer.loggers if isinstance(logger, TensorBoard)]


def event_files(directory: Path) -> list[Path]:
    """Event files in the order in which TensorBoard reads them."""
    return sorted(directory.glob(f"{PREFIX}*"))


def cut(path: Path, first_tags: set[str], first: int) -> None:
    """Remove from an event file what a launch does again that begins at step `first`.

    Hyperparameters go in any case: a reader keeps the first ones, and a longer run has others.
    """
    records = list(_read(path))
    kept = [record for record in records if _stays(Event.FromString(record), first_tags, first)]
    if len(kept) < len(records):
        with replacing(path) as file:
            for record in kept:
                file.write(_record(record))


def _stays(event: Event, first_tags: set[str], first: int) -> bool:
    tags = [value.tag for value in event.summary.value]
    if any(tag.startswith(HYPERPARAMETERS) for tag in tags):
        return False
    return not tags or outlives(tags, event.step, first_tags, first)


def _read(path: Path) -> Iterator[bytes]:
    """Records of an event file, to its end or to where a kill cut it."""
    return RawEventFileLoader(str(path)).Load()


def _record(content: bytes) -> bytes:
    """Content of one record in TensorFlow's framing: length, checksums."""
    file = io.BytesIO()
    RecordWriter(file).write(content)
    return file.getvalue()


def _number(path: Path) -> int:
    """Number that an event file's name begins with, the time at which it was made."""
    digits = path.name.removeprefix(PREFIX).split(".")[0]
    return int(digits) if digits.isdigit() else 0


def _utf8(tag: str) -> str:
    """A tag that a protocol buffer can hold."""
    return tag.encode("utf-8", "backslashreplace").decode()
