"""What the scripts look at: a run's network, any trained weights, or an exported file.

    RUN [dataset.root=FOLDER]                a run's folder, whose data may have moved
    model=NAME model.weights=FILE ...        overrides of train.py: no run is needed or made
    FILE.onnx|.xml|.pt2 [dataset.root=...]   a file of `ghostexp export`

Classifiers can be computed by an engine in place of torch.
"""

import json
from dataclasses import dataclass
from pathlib import Path

from omegaconf import DictConfig, OmegaConf

from ghostexp.config.build import Parts
from ghostexp.config.explain import UserError
from ghostexp.config.facts import completed_config
from ghostexp.config.mistakes import users_mistakes
from ghostexp.config.precision import AUTO, FLOAT32
from ghostexp.config.saved import CONFIG_FILE
from ghostexp.config.targets import find_callable
from ghostexp.deploy.in_engine import EngineNet, in_engine
from ghostexp.models.published import PUBLISHED
from ghostexp.models.weights import load_weights
from ghostexp.results.no_run import no_run
from ghostexp.results.record import Record
from ghostexp.runs.exported import check_has_data, read_exported
from ghostexp.runs.load import (
    build_for_evaluation,
    load_parts,
    place_data,
    read_run_record,
    saved_config,
)
from ghostexp.tasks import ClassificationTask, DetectionTask
from ghostexp.tasks.task import Task

TASKS = (ClassificationTask, DetectionTask)
ROOT = "dataset.root="


@dataclass(frozen=True)
class Subject:
    """Parts for an evaluation, with the data of `cfg` read.

    `source` names the weights; `epoch` is None where the weights come from no checkpoint of a run.
    `engine` says what computes, None for torch. `record` is the run's record, else empty.
    """

    cfg: DictConfig
    parts: Parts
    source: str
    epoch: int | None
    engine: str | None
    record: Record


def subject_of(words: list[str], engine: str | None = None) -> Subject:
    """What the words of a command line name, computed by `engine` of ENGINES or by torch."""
    if is_override(words[0]):
        return subject_of_weights(words, engine)
    path, root = Path(words[0]), _root(words[1:])
    if not path.is_file():
        return subject_of_run(path, engine, root)
    if path.suffix == ".ckpt":
        raise UserError(f"{no_run(path, CONFIG_FILE)}, or model=NAME model.weights={path}")
    if engine is not None:
        raise UserError(f"--engine is for runs and weights: {path} has an engine already")
    return subject_of_file(path, root)


def is_override(word: str) -> bool:
    """Whether a word is `key=value`; a folder's name may look like it."""
    return "=" in word and not Path(word).exists()


def subject_of_run(directory: Path, engine: str | None = None, root: str | None = None) -> Subject:
    """The network of a run with the weights that its record reports."""
    cfg = saved_config(directory)
    known_task(cfg, directory)
    place_data(cfg, root)
    parts, checkpoint, epoch = load_parts(cfg, directory, on_cpu=engine is not None)
    return Subject(
        cfg=cfg,
        parts=parts,
        source=checkpoint.name,
        epoch=epoch,
        engine=_put_into(engine, parts),
        record=read_run_record(directory),
    )


def known_task(cfg: DictConfig, directory: Path) -> type[Task]:
    """Class of the task in the saved config of a run; `UserError` if it is none of TASKS."""
    task = find_callable(cfg.task._target_, "task")
    if not issubclass(task, TASKS):
        names = " or ".join(kind.__name__ for kind in TASKS)
        raise UserError(f"the task of {directory} is {task.__name__}: this command needs a {names}")
    return task


def subject_of_weights(overrides: list[str], engine: str | None = None) -> Subject:
    """The network of a composed config with the weights that `model.weights` names.

    It computes in float32 where the config leaves the precision to the program.
    """
    cfg = completed_config(overrides)
    OmegaConf.resolve(cfg)  # the trainer is made smaller below, and others refer to it
    weights = cfg.model.get("weights")
    if weights is None:
        raise UserError("without a run, model.weights=FILE must say which weights are meant")
    if cfg.trainer.precision == AUTO:
        cfg.trainer.precision = FLOAT32
    ours = weights in PUBLISHED or Path(weights).is_file()
    if ours:  # else the model itself knows the name
        cfg.model.weights = None
    parts = build_for_evaluation(cfg, on_cpu=engine is not None)
    if ours:
        _load_all(parts, weights)
    with users_mistakes("dataset"):
        parts.datamodule.prepare_data()
    return Subject(cfg, parts, weights, None, _put_into(engine, parts), record={})


def subject_of_file(path: Path, root: str | None) -> Subject:
    """An exported file in its engine, in the place of a classifier's network."""
    exported = read_exported(path, root)
    check_has_data(exported)
    engine = exported.engine
    parts = build_for_evaluation(exported.cfg, on_cpu=True, net=EngineNet(engine))
    parts.task.logit_scale = exported.logit_scale
    with users_mistakes("dataset"):
        parts.datamodule.prepare_data()
    name = f"{path.name}, {engine.metadata['precision']}"
    return Subject(exported.cfg, parts, name, None, engine.name, record={})


def metadata(word: str, subject: Subject) -> dict[str, str]:
    """What every exported file says: where the weights come from, its classes, inputs and data."""
    data = subject.parts.datamodule
    dataset = OmegaConf.to_container(subject.cfg.dataset)
    dataset.pop("root", None)  # of this machine
    return _origin(word, subject) | {
        "class_names": json.dumps(data.class_names),
        "input_shape": json.dumps(list(data.input_shape)),
        "dataset": json.dumps(dataset),
    }


def _origin(word: str, subject: Subject) -> dict[str, str]:
    """Where the weights come from: a run, or a file and the model that it was loaded into."""
    if subject.epoch is None:
        model = OmegaConf.to_container(subject.cfg.model)
        return {"weights": Path(subject.source).name, "model": json.dumps(model)}
    return {
        "run": Path(word).resolve().name,
        "digest": str(subject.record.get("digest")),
        "revision": str(subject.record["git"].get("revision")),
        "checkpoint": subject.source,
    }


def _load_all(parts: Parts, weights: str) -> None:
    with users_mistakes("model"):
        report = load_weights(parts.task.net, weights)
    if report.new:
        raise UserError(
            f"model.weights={weights} has no {' and '.join(report.new)} for"
            f" {parts.datamodule.num_classes} classes: a head without training cannot be evaluated"
        )


def _put_into(engine: str | None, parts: Parts) -> str | None:
    """Let an engine compute in the place of the network; its name and version."""
    if engine is None:
        return None
    if not isinstance(parts.task, ClassificationTask):
        raise UserError("--engine is for classifiers: a detector is computed by torch")
    with users_mistakes("--engine"):
        computed = in_engine(parts.task.net, parts.datamodule.input_shape, engine)
    parts.task.net = EngineNet(computed)
    return computed.name


def _root(words: list[str]) -> str | None:
    """The folder of the data that the words after a run or a file name."""
    others = [word for word in words if not word.startswith(ROOT)]
    if others:
        raise UserError(
            f"{others[0]}: a run and an exported file keep their values; only {ROOT}FOLDER may"
            " follow them"
        )
    return words[-1].removeprefix(ROOT) if words else None
