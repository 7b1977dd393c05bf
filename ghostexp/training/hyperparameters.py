"""What TensorBoard's HPARAMS page shows of a finished run: what was chosen, and what came out."""

from collections.abc import Mapping
from typing import Any

import pytorch_lightning as pl
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.plugins.hparams import metadata
from tensorboard.plugins.hparams.api_pb2 import (
    DATA_TYPE_FLOAT64,
    DATA_TYPE_STRING,
    STATUS_SUCCESS,
    Experiment,
    HParamInfo,
    MetricInfo,
    MetricName,
)
from tensorboard.plugins.hparams.plugin_data_pb2 import (
    HParamsPluginData,
    SessionEndInfo,
    SessionStartInfo,
)

from ghostexp.training.tensorboard import tensorboards
from ghostexp.training.watching import going_on

Value = str | float | None

NUMBERS = {  # column of the page -> key of the config, the most important first
    "ratio": "model.ratio",
    "lr": "optimizer.lr",
    "batch_size": "dataset.batch_size",
    "epochs": "trainer.max_epochs",
    "weight_decay": "optimizer.weight_decay",
    "seed": "seed",
}
GROUPS = ("model", "dataset", "task", "optimizer", "sched")
TICKED = 5  # columns that the page shows before anybody ticks more
HEADLINES = ("acc", "map")  # of classification and of detection
REPORTED = "_reported"


def hyperparameters(
    config: Mapping[str, Any], choices: Mapping[str, Any], swept: Mapping[str, Any]
) -> dict[str, Value]:
    """What to compare runs by: every swept key, the usual numbers, the choices of groups.

    `config` is resolved and nested, `choices` are group -> name, `swept` are dotted keys. A number
    that a run does not have is None, as the ratio of a dense network.
    """
    columns = {key: column for column, key in NUMBERS.items()}
    chosen = {columns.get(key, key): value for key, value in swept.items()}
    chosen |= {column: _look_up(config, key) for column, key in NUMBERS.items()}
    chosen |= {group: choices[group] for group in GROUPS if choices.get(group)}
    return {column: _plain(value) for column, value in chosen.items()}


def log_hyperparameters(
    trainer: pl.Trainer,
    chosen: Mapping[str, Value],
    metrics: Mapping[str, float],
    best: Mapping[str, float],
) -> None:
    """Write the HPARAMS page's row of a run that was tested, at its last step.

    The page takes metrics from curves by their tags. The test's are written already. `best` is the
    validation metric of the epoch that was tested, {} where the last one was: it gets a point of
    its own, because the curve's last point is another epoch's. A third-party logger for TensorBoard
    gets nothing.
    """
    step = trainer.global_step
    for logger in tensorboards(trainer):
        with going_on("TensorBoard's page of hyperparameters"):
            logger.log_metrics({f"{name}{REPORTED}": best[name] for name in best}, step)
            for summary in _summaries(chosen, _columns(metrics, best)):
                logger.add_summary(summary, step)


def _columns(metrics: Mapping[str, float], best: Mapping[str, float]) -> dict[str, str]:
    """Curve -> title of each metric on the page: accuracy or mAP, of test and validation."""
    tests = [name for name in metrics if name.startswith("test/")]
    headlines = [f"test/{name}" for name in HEADLINES if f"test/{name}" in tests] or tests
    last = [f"val/{name}" for name in HEADLINES if f"val/{name}" in metrics]
    columns = {name: name for name in headlines}
    return columns | ({f"{name}{REPORTED}": name for name in best} or {name: name for name in last})


def _summaries(chosen: Mapping[str, Value], columns: Mapping[str, str]) -> list[Summary]:
    """The page's columns and the run's row.

    TensorBoard takes the columns from the first run that it meets, so that a number is a column
    also where this run has none. It ticks the first few of those that `differ`, by their names.
    """
    texts = {name for name, value in chosen.items() if isinstance(value, str)}
    experiment = Experiment(
        hparam_infos=[
            HParamInfo(
                name=name,
                type=DATA_TYPE_STRING if name in texts else DATA_TYPE_FLOAT64,
                differs=place < TICKED,
            )
            for place, name in enumerate(chosen)
        ],
        metric_infos=[
            MetricInfo(name=MetricName(tag=tag), display_name=title)
            for tag, title in columns.items()
        ],
    )
    start = SessionStartInfo()
    for name, value in chosen.items():
        if isinstance(value, str):
            start.hparams[name].string_value = value
        elif value is not None:
            start.hparams[name].number_value = value
    end = SessionEndInfo(status=STATUS_SUCCESS)
    return [
        _summary(metadata.EXPERIMENT_TAG, HParamsPluginData(experiment=experiment)),
        _summary(metadata.SESSION_START_INFO_TAG, HParamsPluginData(session_start_info=start)),
        _summary(metadata.SESSION_END_INFO_TAG, HParamsPluginData(session_end_info=end)),
    ]


def _summary(tag: str, content: HParamsPluginData) -> Summary:
    described = metadata.create_summary_metadata(content)
    return Summary(value=[Summary.Value(tag=tag, metadata=described)])


def _look_up(config: Any, key: str) -> Any:
    """The value at a dotted key; None where there is none."""
    for part in key.split("."):
        config = config.get(part) if isinstance(config, Mapping) else None
    return config


def _plain(value: Any) -> Value:
    """A number stays a number, also where a command line wrote it; everything else is a word."""
    if value is None:
        return None
    if isinstance(value, bool):
        return str(value).lower()
    try:
        return float(value)
    except (TypeError, ValueError):
        return str(value).encode("utf-8", "backslashreplace").decode()
