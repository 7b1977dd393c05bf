"""What `scripts/benchmark.py infer` times: a config's network or a run's, its dense twin, peers."""

import os
import platform
from dataclasses import replace
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

from omegaconf import DictConfig
from torch import nn

from ghostexp.audit import audit
from ghostexp.build import build_network
from ghostexp.cli import CONFIG_FOLDER, UserError
from ghostexp.deploy.forms import Subject
from ghostexp.experiment import cpu_name
from ghostexp.load import load_network
from ghostexp.models.ghostnet import ghostnet
from ghostexp.results.record import read_record

PEER = "mobilenetv3_large_100"  # of timm, which the other peers are compared with


def subjects_of_config(cfg: DictConfig) -> list[Subject]:
    """The network of a config, and its dense twin if it has a ratio."""
    audit(cfg, [CONFIG_FOLDER])
    side = cfg.dataset.image_size
    return _with_twin(cfg, build_network(cfg), (cfg.dataset.in_channels, side, side))


def subjects_of_run(directory: Path) -> list[Subject]:
    """The trained network of a run, first, and an untrained dense twin if it has a ratio."""
    record = read_record(directory) or {}
    if "network" not in record:
        raise UserError(f"{directory} has no record of its network")
    cfg, net = load_network(directory)
    return _with_twin(cfg, net, tuple(record["network"]["input_shape"]))


def peers() -> list[Subject]:
    """Networks for ImageNet of about the same cost, where timm is installed: its two, and ours."""
    if find_spec("timm") is None:
        return []
    import timm

    nets = {name: timm.create_model(name) for name in (PEER, "ghostnet_100")}
    nets["ghostnet, ours"] = ghostnet()
    return [Subject(name, net, (3, 224, 224), reference=PEER) for name, net in nets.items()]


def circumstances(rounds: int) -> str:
    """Machine and versions, for whoever reads the numbers."""
    names = ("torch", "onnxruntime", "openvino", "timm")
    versions = [f"{name} {version(name)}" for name in names if find_spec(name)]
    machine = [cpu_name(), f"{os.cpu_count()} cores", f"python {platform.python_version()}"]
    return ", ".join([*machine, *versions, f"median of {rounds} rounds"])


def _with_twin(cfg: DictConfig, net: nn.Module, shape: tuple[int, ...]) -> list[Subject]:
    name = cfg.model["_target_"].rpartition(".")[2]
    if cfg.model.get("ratio", 1) == 1:
        return [Subject(name, net, shape, reference=name)]
    dense = cfg.copy()
    dense.model.ratio = 1
    twin = Subject(f"{name}, ratio 1", build_network(dense), shape, f"{name}, ratio 1")
    return [replace(twin, name=name, net=net), twin]
