"""One run and its folder: who may write it, what its record says, what it learnt.

    run = Run("outputs/train/2026-11-26_10-00-00")
    run.status, run.metrics["test/acc"], run.config, run.net

The process that trains the run holds the folder's lock from before it reads anything until it ends.
Only this process writes the record.
"""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf
from torch import nn

from ghostexp.config.explain import UserError
from ghostexp.config.saved import CONFIG_FILE
from ghostexp.files.atomic import write_text
from ghostexp.files.folders import remove_if_empty
from ghostexp.files.lock import Busy, Lock, describe
from ghostexp.results import record as records
from ghostexp.results.no_run import no_run
from ghostexp.runs.answers import Answers, answering
from ghostexp.runs.given import Given
from ghostexp.runs.hub import save_pretrained
from ghostexp.runs.load import load_network, saved_config
from ghostexp.training.stopping import deferred
from ghostexp.training.trackers import MLFLOW_ID, WANDB_ID

LOG = "train.log"
RESERVE = ".reserve"
WRITTEN = (  # what a run writes, relative to its folder: all that starting over may remove
    records.FILE_NAME,
    *(str(CONFIG_FILE), ".hydra/overrides.yaml", "kernels.jsonl", "latency.json", "metrics.csv"),
    *("checkpoints/best.ckpt", "checkpoints/last.ckpt", "checkpoints/partial.ckpt"),
    *(
        MLFLOW_ID,
        WANDB_ID,
        "confusion.csv",
        "confusion.png",
        "detections.png",
        "*-profile.txt",
        "tensorboard/events.out.tfevents.*",
    ),
    RESERVE,
)


class Run:
    """A run in its folder; nothing is read before it is asked for."""

    def __init__(self, directory: Path | str) -> None:
        self.directory = Path(directory)
        self.lock = Lock(self.directory / records.LOCK)
        self._answers: Answers | None = None  # the network is loaded once
        self._kept: records.Record | None = None  # the record, while this process runs the run

    @property
    def record(self) -> records.Record:
        """What `result.json` says; `UserError` where there is none, or it cannot be read."""
        try:
            record = records.read_record(self.directory)
        except ValueError as error:
            raise UserError(str(error)) from error
        if record is None:
            raise UserError(no_run(self.directory, Path(records.FILE_NAME)))
        return record

    @property
    def status(self) -> str:
        """`running`, `finished`, `failed` or `interrupted`."""
        return self.record["status"]

    @property
    def metrics(self) -> dict[str, float]:
        """The metrics of the record, by name: metrics of the last epoch, and of the test."""
        return self.record["metrics"]

    @property
    def config(self) -> DictConfig:
        """The config that the run was made with, checked as a composed one is."""
        return saved_config(self.directory)

    @property
    def net(self) -> nn.Module:
        """The network with the weights that the reported accuracy belongs to."""
        return load_network(self.directory)[1]

    def predict(self, given: Given | Sequence[Given]) -> Any:
        """What the network says of a path, a PIL image, an array or a tensor; a list for several.

        Each answer is a line of `ghostexp predict`: {"file", "class", "probability", "top"}, or of
        a detector {"file", "detections"}. `ghostexp/runs/given.py` says which arrays are taken.
        """
        several = isinstance(given, list | tuple)
        if self._answers is None:
            self._answers = answering(self.directory)
        found = self._answers(list(given) if several else [given])
        return found if several else found[0]

    def save_pretrained(self, folder: Path | str) -> None:
        """Write the network into a new folder, in the layout of the Hugging Face hub."""
        save_pretrained(self.directory, Path(folder))

    @contextmanager
    def owned(self) -> Iterator["Run"]:
        """Hold the folder's lock; `UserError` at once where another process trains this run.

        A folder in which nothing has begun when the block ends is removed.
        """
        had_log = (self.directory / LOG).exists()
        try:
            self.lock.acquire()
        except Busy as busy:
            raise UserError(
                f"{self.directory} is being trained by {describe(busy.owner)}: wait for it, or end"
                " it and give this command again; name=... starts elsewhere"
            ) from busy
        try:
            yield self
        finally:
            began = (self.directory / records.FILE_NAME).exists()
            if not (began or had_log):
                (self.directory / LOG).unlink(missing_ok=True)
            self.lock.remove()
            if not began:
                remove_if_empty(self.directory)

    @contextmanager
    def recorded(self, record: records.Record) -> Iterator[None]:
        """Keep `record` in the folder from here on; its status says how the block ended.

        The last of the record's `segments` is this launch's; the time of all adds up to `wall_s`.
        """
        self._remove_temporaries()
        self._kept = record
        self._started = time.monotonic()
        reserve = self.directory / RESERVE
        try:
            reserve.write_bytes(bytes(65_536))  # so that the last record fits on a full disk
            self.update({"status": "running"})
            yield
            self._kept["status"] = "finished"
        except Exception as error:
            self._kept |= {"status": "failed", "error": records.describe_error(error)}
            raise
        except BaseException:  # Ctrl-C, SIGTERM
            self._kept["status"] = "interrupted"
            raise
        finally:
            with deferred():
                reserve.unlink(missing_ok=True)
                self.update({"ended": records.now()})
                self._kept = None

    def refuse(self, record: records.Record, error: Exception) -> None:
        """Leave a record of a job that failed before it began, for the sweep's report."""
        failed = {"status": "failed", "error": records.describe_error(error)}
        records.write_record(self.directory, record | failed | {"ended": records.now()})

    def update(self, facts: dict[str, Any]) -> None:
        """Write the record with `facts` in it, and the time until now."""
        assert self._kept is not None  # only within `recorded`
        self._kept |= facts
        segments = self._kept["segments"]
        segments[-1]["wall_s"] = round(time.monotonic() - self._started, 3)
        segments[-1]["epochs"][1] = self._kept.get("epochs")
        self._kept["wall_s"] = round(sum(segment.get("wall_s", 0) for segment in segments), 3)
        records.write_record(self.directory, self._kept)

    def end_at_once(self) -> None:
        """Say in the record that the run was interrupted, for a process that ends right after."""
        if self._kept is not None:
            (self.directory / RESERVE).unlink(missing_ok=True)
            self.update({"status": "interrupted", "ended": records.now()})

    def save_config(self, cfg: DictConfig, overrides: dict[str, Any] | None) -> None:
        """Write the config, and the command line's values where it is a new one."""
        folder = self.directory / ".hydra"
        folder.mkdir(exist_ok=True)
        write_text(self.directory / CONFIG_FILE, OmegaConf.to_yaml(cfg))
        if overrides is not None:
            text = OmegaConf.to_yaml(OmegaConf.create(overrides))
            write_text(folder / "overrides.yaml", text)

    def clear(self) -> None:
        """Remove what an earlier launch wrote, but for the log; other files stay."""
        for pattern in WRITTEN:
            for path in self.directory.glob(pattern):
                path.unlink()
        for folder in (".hydra", "checkpoints", "tensorboard"):
            with suppress(OSError):  # absent, or it holds what we did not write
                (self.directory / folder).rmdir()

    def _remove_temporaries(self) -> None:
        """Remove what a process that was killed while it wrote a file left beside the file."""
        for name in WRITTEN:
            path = self.directory / name
            for left in path.parent.glob(f".{path.name}.[0-9]*"):
                left.unlink()
