"""A run from its folder alone: its config, network and data, with its trained weights."""

import pickle
from pathlib import Path
from typing import Any

import torch
from omegaconf import DictConfig, OmegaConf, open_dict

from ghostexp.config.audit import targets
from ghostexp.config.build import Parts, build_network, build_parts
from ghostexp.config.cli import UserError
from ghostexp.config.directories import register_resolvers
from ghostexp.results.record import Record, read_record


def load_run(directory: Path) -> tuple[DictConfig, Parts]:
    """Config and parts of a run, with the weights that its reported test accuracy belongs to.

    The trainer is for evaluation: on one device, without the callbacks and loggers that write.
    """
    cfg = saved_config(directory)
    quiet = cfg.copy()
    with open_dict(quiet):
        quiet.callbacks = quiet.logger = None
        quiet.trainer.devices = 1
        quiet.trainer.strategy = "auto"
        quiet.trainer.enable_checkpointing = quiet.trainer.enable_progress_bar = False
    parts = build_parts(quiet)
    parts.task.load_state_dict(load_checkpoint(reported_checkpoint(directory))["state_dict"])
    return cfg, parts


def load_network(directory: Path) -> tuple[DictConfig, torch.nn.Module]:
    """Config and network of a run, with the weights of `load_run`; needs no data."""
    cfg = saved_config(directory)
    net = build_network(cfg)
    state = load_checkpoint(reported_checkpoint(directory))["state_dict"]
    net.load_state_dict(
        {key.removeprefix("net."): state[key] for key in state if key.startswith("net.")}
    )
    return cfg, net


def saved_config(directory: Path) -> DictConfig:
    """Config that a run was made with."""
    saved = Path(directory) / ".hydra" / "config.yaml"
    if not saved.exists():
        raise UserError(f"{directory} is no run: {saved} is missing")
    register_resolvers()  # the config names them
    cfg = OmegaConf.load(saved)
    with open_dict(cfg):
        cfg.run_dir = str(directory)
        for _, node in targets(cfg.model):
            if node.get("weights"):  # the start of the training, no longer needed
                node.weights = None
    return cfg


def data_record(directory: Path) -> Record:
    """Record of a run that came as far as its data, with their class names."""
    record = read_record(directory) or {}
    if record.get("dataset") is None:
        raise UserError(f"{directory} has no record with class names")
    return record


def task_name(directory: Path) -> str:
    """Class of a run's task, such as ClassificationTask."""
    return saved_config(directory).task._target_.rpartition(".")[2]


def reported_checkpoint(directory: Path) -> Path:
    """Checkpoint of the epoch whose test accuracy a run reports: the best one, else the last."""
    folder = Path(directory) / "checkpoints"
    for name in ("best.ckpt", "last.ckpt"):
        if (folder / name).exists():
            return folder / name
    raise UserError(f"{directory} holds no checkpoint yet")


def load_checkpoint(path: Path) -> dict[str, Any]:
    """Checkpoint as plain data and tensors on the CPU; a cut file or another pickle is refused."""
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError) as error:
        reason = next((line for line in str(error).splitlines() if "GLOBAL" in line), str(error))
        raise UserError(
            f"{path} cannot be loaded safely ({reason.strip()[:200]}); rerun=true starts over"
        ) from error
