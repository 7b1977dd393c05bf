"""Weights & Biases and MLflow: a run that is resumed goes on with its run there.

Both give a run an identifier. A file in the run's folder keeps it, and names the folder, so that a
copy of the folder gets an identifier that no other run has.
"""

import re
import time
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytorch_lightning as pl
from pytorch_lightning.loggers import Logger, WandbLogger
from pytorch_lightning.loggers.logger import rank_zero_experiment
from pytorch_lightning.utilities import rank_zero_only

from ghostexp.files.atomic import write_text

WANDB_ID = "wandb-run.txt"
MLFLOW_ID = "mlflow-run.txt"
MLFLOW_LENGTH = 6000  # characters of a value
MLFLOW_BATCH = 100  # parameters that it takes at once
MLFLOW_REFUSES = re.compile(r"[^\w/. :-]", re.ASCII)  # in the name of a metric


class WeightsAndBiases(WandbLogger):
    """Lightning's logger for Weights & Biases, whose files lie in `directory`/wandb.

    The environment variable WANDB_MODE=offline keeps everything there, for `wandb sync` later.
    """

    def __init__(
        self,
        directory: str,
        *,
        project: str,
        title: str | None = None,
        tags: Sequence[str] = (),
        notes: str | None = None,
    ) -> None:
        _check_installed("wandb")
        self.id_file = Path(directory) / WANDB_ID
        known = read_id(self.id_file)
        super().__init__(
            name=title,
            save_dir=directory,
            id=known or uuid4().hex,
            project=project,
            tags=[str(tag) for tag in tags],
            notes=notes,
            resume="allow" if known else None,
            settings={"console": "off"},  # the run's log has the console's output already
        )
        self._wandb_init.pop("anonymous", None)  # Lightning gives it, and W&B warns of it

    @rank_zero_only
    def log_hyperparams(self, params: Mapping[str, Any]) -> None:
        """Show the config; the first call begins the run there."""
        super().log_hyperparams(dict(params))
        write_id(self.id_file, self.experiment.id)

    @rank_zero_only
    def finish(self, exit_code: int) -> None:
        """End the run there: the next job of a sweep in this process is another one."""
        if self._experiment is not None:
            self._experiment.finish(exit_code=exit_code)


class MLflow(Logger):
    """Metrics and config in MLflow; `tracking_uri` is a database or a server.

    Lightning's logger for MLflow makes the database when it is built, which is before a config is
    known to be sound. Here this comes with the first use.
    """

    def __init__(
        self,
        directory: str,
        *,
        tracking_uri: str,
        experiment: str,
        title: str | None = None,
        tags: Sequence[str] = (),
        notes: str | None = None,
    ) -> None:
        _check_installed("mlflow")
        super().__init__()
        self.id_file = Path(directory) / MLFLOW_ID
        self.tracking_uri = tracking_uri
        self.experiment_name = experiment
        self.title = title
        self.tags = {str(tag): "true" for tag in tags}
        if notes:
            self.tags["mlflow.note.content"] = notes  # the page shows it as the description
        self.run_id: str | None = None
        self.client: Any = None

    @property
    def name(self) -> str:
        return self.experiment_name

    @property
    def version(self) -> str | None:
        return self.run_id

    @property
    @rank_zero_experiment
    def experiment(self) -> Any:
        """MLflow's client; the first use begins the run there, or goes on with it."""
        if self.client is None:
            from mlflow import MlflowClient

            client = MlflowClient(self.tracking_uri)
            self.run_id = read_id(self.id_file)
            if self.run_id is None:
                self.run_id = self._new_run(client)
                write_id(self.id_file, self.run_id)
            else:
                client.update_run(self.run_id, status="RUNNING")
            self.client = client
        return self.client

    def _new_run(self, client: Any) -> str:
        known = client.get_experiment_by_name(self.experiment_name)
        if known is None:
            experiment = client.create_experiment(self.experiment_name)
        else:
            experiment = known.experiment_id
        run = client.create_run(experiment, tags=self.tags, run_name=self.title)
        return run.info.run_id

    @rank_zero_only
    def log_hyperparams(self, params: Mapping[str, Any], *args: Any) -> None:
        """Show the config; a value that is there already stays, because MLflow changes none."""
        known = self.experiment.get_run(self.run_id).data.params
        from mlflow.entities import Param

        new = [
            Param(key, str(value)[:MLFLOW_LENGTH])
            for key, value in _flat(params).items()
            if key not in known
        ]
        for start in range(0, len(new), MLFLOW_BATCH):
            self.experiment.log_batch(self.run_id, params=new[start : start + MLFLOW_BATCH])

    @rank_zero_only
    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        now = int(time.time() * 1000)
        from mlflow.entities import Metric

        points = [
            Metric(MLFLOW_REFUSES.sub("_", key), value, now, step or 0)
            for key, value in metrics.items()
        ]
        self.experiment.log_batch(self.run_id, metrics=points)

    @rank_zero_only
    def finalize(self, status: str) -> None:
        """End the run there; what comes later, such as a test, still goes into it."""
        if self.client is not None:
            ended = "FINISHED" if status in ("success", "finished") else "FAILED"
            self.client.set_terminated(self.run_id, ended)


def end_trackers(trainer: pl.Trainer, exit_code: int) -> None:
    """Tell the services that hold a run open that it has ended."""
    for logger in trainer.loggers:
        if isinstance(logger, WeightsAndBiases):
            logger.finish(exit_code)


def _check_installed(package: str) -> None:
    """ModuleNotFoundError with the package's name, for the sentence that names our extra."""
    if find_spec(package) is None:
        raise ModuleNotFoundError(f"No module named {package!r}", name=package)


def _flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested values with dotted keys, as on the command line."""
    flat = {}
    for key, value in values.items():
        inner = _flat(value, f"{prefix}{key}.") if isinstance(value, Mapping) else None
        flat |= inner if inner else {f"{prefix}{key}": value}
    return flat


def write_id(file: Path, identifier: str) -> None:
    """Keep a run's identifier in `file`, a file of the run's folder."""
    write_text(file, f"{identifier}\n{file.parent.resolve()}\n")


def read_id(file: Path) -> str | None:
    """The identifier in a run's folder, also after the folder was moved.

    None without an identifier, or if the folder is a copy of a folder that still has the same file.
    """
    if not file.is_file():
        return None
    text = file.read_text()
    identifier, _, folder = text.strip().partition("\n")
    original = Path(folder or file.parent) / file.name
    if original.resolve() != file.resolve() and original.is_file() and original.read_text() == text:
        return None
    return identifier
