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

Value = str | float

GROUPS = ("model", "dataset", "task", "optimizer", "sched")
NUMBERS = {  # column of the page -> key of the config
    "lr": "optimizer.lr",
    "weight_decay": "optimizer.weight_decay",
    "batch_size": "dataset.batch_size",
    "epochs": "trainer.max_epochs",
    "ratio": "model.ratio",
    "seed": "seed",
}
HEADLINES = ("acc", "map")  # of classification and of detection
REPORTED = "_reported"


def hyperparameters(
    config: Mapping[str, Any], choices: Mapping[str, Any], swept: Mapping[str, Any]
) -> dict[str, Value]:
    """What to compare runs by: group choices, the usual numbers, and every swept key.

    `config` is resolved and nested, `choices` are group -> name, `swept` are dotted keys.
    """
    chosen: dict[str, Any] = {group: choices[group] for group in GROUPS if choices.get(group)}
    chosen |= {name: _look_up(config, key) for name, key in NUMBERS.items()}
    chosen |= {key: swept[key] for key in swept if key not in (*GROUPS, *NUMBERS.values())}
    return {key: _plain(value) for key, value in chosen.items() if value is not None}


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

    TensorBoard takes the columns from the first run that it meets, so that the usual numbers are
    columns also where a run has none, as a dense network has no ratio.
    """
    numbers = {name for name, value in chosen.items() if not isinstance(value, str)}
    names = [*chosen, *(name for name in NUMBERS if name not in chosen)]
    experiment = Experiment(
        hparam_infos=[
            HParamInfo(
                name=name,
                type=DATA_TYPE_FLOAT64 if name in numbers | NUMBERS.keys() else DATA_TYPE_STRING,
            )
            for name in names
        ],
        metric_infos=[
            MetricInfo(name=MetricName(tag=tag), display_name=title)
            for tag, title in columns.items()
        ],
    )
    start = SessionStartInfo()
    for name, value in chosen.items():
        if name in numbers:
            start.hparams[name].number_value = value
        else:
            start.hparams[name].string_value = value
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
    """A number stays one, also where a command line wrote it; everything else is a word."""
    if isinstance(value, bool):
        return str(value).lower()
    try:
        return float(value)
    except (TypeError, ValueError):
        return str(value).encode("utf-8", "backslashreplace").decode()
