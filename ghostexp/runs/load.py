"""A run from its folder alone: its config, network and data, with its trained weights.

The folder is data, which somebody else may have made: nothing in it is executed, and nothing is
downloaded for it.
"""

from pathlib import Path
from typing import Any

from omegaconf import DictConfig, open_dict
from torch import Tensor, nn

from ghostexp.config.audit import audit_saved
from ghostexp.config.build import Parts, build_network, build_parts
from ghostexp.config.directories import register_resolvers
from ghostexp.config.explain import UserError
from ghostexp.config.mistakes import users_mistakes
from ghostexp.config.precision import FLOAT32
from ghostexp.config.saved import CONFIG_FILE, read_saved
from ghostexp.config.targets import find_callable
from ghostexp.download import offline
from ghostexp.files.tensors import read_tensors
from ghostexp.results.collect import read_run
from ghostexp.results.no_run import no_run
from ghostexp.results.record import FILE_NAME, Record

OF_AN_EVALUATION = {  # keys of a trainer that change what an evaluation computes, or where
    *("_target_", "accelerator", "benchmark", "deterministic", "inference_mode"),
    *("limit_test_batches", "limit_val_batches", "precision", "use_distributed_sampler"),
}


def load_run(directory: Path) -> tuple[DictConfig, Parts]:
    """Config and parts of a run, with the weights that its reported test accuracy belongs to.

    Its data are read, and nothing is downloaded. For the trainer see `build_for_evaluation`.
    """
    cfg = saved_config(directory)
    parts, _, _ = load_parts(cfg, directory)
    return cfg, parts


def load_parts(
    cfg: DictConfig, directory: Path, *, on_cpu: bool = False
) -> tuple[Parts, Path, int]:
    """What `load_run` gives for the saved config `cfg`; the checkpoint; its epoch, from 1."""
    parts = build_for_evaluation(cfg, on_cpu=on_cpu)
    path = reported_checkpoint(directory)
    checkpoint = load_checkpoint(path)
    _load(parts.task, checkpoint["state_dict"], path)
    with offline(), users_mistakes("dataset"):
        parts.datamodule.prepare_data()
    return parts, path, int(checkpoint.get("epoch", -1)) + 1  # Lightning counts from 0


def build_for_evaluation(
    cfg: DictConfig, *, on_cpu: bool = False, net: nn.Module | None = None
) -> Parts:
    """Parts of an audited config whose trainer is for evaluation.

    It runs on one device, without the callbacks, loggers and plug-ins that write. `on_cpu` makes it
    compute in float32 on the CPU, as the engines do. `net` takes the place of the config's network.
    """
    quiet = cfg.copy()
    with open_dict(quiet):
        quiet.callbacks = quiet.logger = None
        quiet.trainer = {key: cfg.trainer[key] for key in OF_AN_EVALUATION if key in cfg.trainer}
        for key in ("enable_checkpointing", "enable_model_summary", "enable_progress_bar"):
            quiet.trainer[key] = False
        quiet.trainer.devices = 1
        if on_cpu:
            quiet.trainer.accelerator, quiet.trainer.precision = "cpu", FLOAT32
    return build_parts(quiet, net=net)


def place_data(cfg: DictConfig, root: str | None) -> None:
    """Let the data of a saved config lie in the folder `root`; None leaves them where they were."""
    if root is None:
        return
    if "root" not in cfg.dataset:
        raise UserError(f"dataset.root={root}: the data set of this config lies in no folder")
    with open_dict(cfg):
        cfg.dataset.root = root


def load_network(directory: Path) -> tuple[DictConfig, nn.Module]:
    """Config and network of a run, with the weights of `load_run`; needs no data."""
    cfg = saved_config(directory)
    net = build_network(cfg)
    path = reported_checkpoint(directory)
    state = load_checkpoint(path)["state_dict"]
    own = {key.removeprefix("net."): state[key] for key in state if key.startswith("net.")}
    _load(net, own, path)
    return cfg, net


def saved_config(directory: Path) -> DictConfig:
    """Config that a run was made with."""
    saved = Path(directory) / CONFIG_FILE
    if not saved.exists():
        raise UserError(no_run(Path(directory), CONFIG_FILE))
    register_resolvers()  # the config names them
    cfg = read_saved(directory)
    audit_saved(cfg, directory, saved)
    return cfg


def read_run_record(directory: Path) -> Record:
    """Record of a run with an empty mapping for each that is missing; empty without a record."""
    if not (Path(directory) / FILE_NAME).exists():
        return {}
    try:
        return read_run(Path(directory)).record
    except ValueError as error:
        raise UserError(str(error)) from error


def data_record(directory: Path) -> Record:
    """Record of a run that came as far as its data, with their class names."""
    record = read_run_record(directory)
    if not record or not record["dataset"].get("class_names"):
        raise UserError(f"{directory} has no record with class names")
    return record


def task_class(directory: Path) -> type[nn.Module]:
    """Class of a run's task, such as ClassificationTask or a subclass of it."""
    return find_callable(saved_config(directory).task._target_, "task")


def reported_checkpoint(directory: Path) -> Path:
    """`find_checkpoint`; `UserError` where there is none."""
    path = find_checkpoint(directory)
    if path is None:
        raise UserError(f"{directory} holds no checkpoint yet")
    return path


def find_checkpoint(directory: Path) -> Path | None:
    """Checkpoint of the epoch whose test accuracy a run reports: the best one, else the last."""
    paths = [Path(directory) / "checkpoints" / name for name in ("best.ckpt", "last.ckpt")]
    return next((path for path in paths if path.exists()), None)


def load_checkpoint(path: Path) -> dict[str, Any]:
    """Checkpoint as plain data and tensors on the CPU; a cut file or another pickle is refused."""
    try:
        content = read_tensors(path)
    except (ValueError, OSError) as error:
        raise UserError(f"{error}; rerun=true starts the run over") from error
    if not isinstance(content, dict) or not isinstance(content.get("state_dict"), dict):
        raise UserError(f"{path} is no checkpoint of a training: it has no state_dict")
    if not all(isinstance(value, Tensor) for value in content["state_dict"].values()):
        raise UserError(f"{path} is no checkpoint of a training: its state_dict has other values")
    return content


def _load(module: nn.Module, state: dict[str, Tensor], path: Path) -> None:
    try:
        module.load_state_dict(state)
    except (RuntimeError, TypeError, AttributeError) as error:
        reason = " ".join(str(error).split())[:200]
        raise UserError(
            f"{path}: these weights do not fit the config of the run ({reason})"
        ) from error
