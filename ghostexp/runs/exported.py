"""An exported file in the place of a run: what its metadata say about data, classes and outputs."""

import json
from dataclasses import dataclass
from pathlib import Path

from omegaconf import DictConfig, OmegaConf, open_dict

from ghostexp.config.audit import audit_saved
from ghostexp.config.cli import compose_config
from ghostexp.config.explain import UserError
from ghostexp.config.mistakes import users_mistakes
from ghostexp.config.targets import find_callable
from ghostexp.config.values import parameters
from ghostexp.deploy.engines import Engine, load_engine
from ghostexp.runs.load import place_data

NEEDED = ("batch", "class_names", "dataset", "input_shape", "logit_scale")


@dataclass(frozen=True)
class Exported:
    """A file of ghostexp export in its engine.

    `cfg` is a config with the data set that the network was trained on. A softmax of `logit_scale`
    times the outputs are probabilities.
    """

    path: Path
    engine: Engine
    cfg: DictConfig
    class_names: list[str]
    logit_scale: float


def read_exported(path: Path, root: str | None = None) -> Exported:
    """Load a file and audit what its metadata name; `root` is the folder of its data.

    Without `root` the data set can be built but not read, unless it lies in no folder.
    """
    engine = _load(path)
    if "category_ids" in engine.metadata:
        raise UserError(
            f"{path} holds a detector, which the scripts run from the folder of its run; the file"
            " is for ONNX Runtime"
        )
    missing = [key for key in NEEDED if key not in engine.metadata]
    if missing:
        raise UserError(
            f"{path} was not written by ghostexp export: its metadata lack {', '.join(missing)}"
        )
    values = {key: json.loads(engine.metadata[key]) for key in NEEDED[1:]}
    return Exported(
        path=path,
        engine=engine,
        cfg=_config(path, values["dataset"], root),
        class_names=values["class_names"],
        logit_scale=values["logit_scale"],
    )


def _load(path: Path) -> Engine:
    with users_mistakes("file"):
        try:
            return load_engine(path)
        except (ValueError, ImportError):
            raise  # a sentence already
        except Exception as error:  # of three engines, with types of their own
            reason = str(error).strip().partition("\n")[0]
            raise UserError(f"{path} cannot be loaded: {reason}") from error


def _config(path: Path, dataset: dict, root: str | None) -> DictConfig:
    """An audited config of the file's data set, everything else as conf/train.yaml has it."""
    cfg = compose_config([])
    with open_dict(cfg):
        cfg.dataset = OmegaConf.create(dataset)
        known = parameters(find_callable(cfg.dataset._target_, "dataset")) or {}
        if "root" in known:
            cfg.dataset.root = str(path)  # a file holds no data: reading fails, building does not
    audit_saved(cfg, path, path)
    place_data(cfg, root)
    return cfg


def check_has_data(exported: Exported) -> None:
    """`UserError` where examples are to be read and nobody has said where they lie."""
    if exported.cfg.dataset.get("root") == str(exported.path):
        raise UserError(
            f"{exported.path} does not say where its data lie: give dataset.root=FOLDER"
        )
