"""What `ghostexp benchmark infer` times: networks of conf/model or a run's, and dense twins."""

import platform
from collections.abc import Sequence
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

from omegaconf import DictConfig
from torch import nn

from ghostexp.config.build import build_network, dense_twin, input_shape
from ghostexp.config.explain import UserError
from ghostexp.config.facts import completed_config
from ghostexp.deploy.forms import Subject
from ghostexp.models.ghostnet import ghostnet
from ghostexp.runs.load import load_network, read_run_record
from ghostexp.runs.machine import processor

PEERS = "peers"  # stands for the networks of `_peers` in a list of models
PEER = "mobilenetv3_large_100"  # of timm, which the other peers are compared with
PAIR = "ghost_resnet56:resnet56"
WITHOUT = ("onnx", "onnxruntime", "openvino", "timm")  # packages that need not be there


def default_models() -> list[str]:
    """The pair that the papers are about, and peers where timm is installed."""
    return [PAIR, PEERS] if find_spec("timm") else [PAIR]


def subjects_of_models(models: Sequence[str], overrides: Sequence[str]) -> list[Subject]:
    """Networks of conf/model: `a:b` is a beside b, `a` alone is beside itself with ratio 1, if any.

    `overrides` are of train.py, for all of them. `peers` are networks for ImageNet.
    """
    subjects: dict[str, Subject] = {}  # by name: two may have the same twin
    for model in models:
        if model == PEERS:
            found = _peers()
        elif ":" in model:
            found = _pair(*model.split(":", 1), overrides)
        else:
            cfg = _config(model, overrides)
            found = _with_twin(model, cfg, build_network(cfg), input_shape(cfg))
        subjects |= {subject.name: subject for subject in found}
    return list(subjects.values())


def subjects_of_run(directory: Path) -> list[Subject]:
    """The trained network of a run, first, and an untrained dense twin if it has a ratio."""
    record = read_run_record(directory)
    if not record or "input_shape" not in record["network"]:
        raise UserError(f"{directory} has no record of its network")
    cfg, net = load_network(directory)
    name = cfg.model["_target_"].rpartition(".")[2]
    return _with_twin(name, cfg, net, tuple(record["network"]["input_shape"]))


def circumstances(rounds: int) -> str:
    """Machine and versions, for whoever reads the numbers."""
    versions = [f"{name} {version(name)}" for name in ("torch", *filter(find_spec, WITHOUT))]
    machine = [processor(), f"python {platform.python_version()}"]
    return ", ".join([*machine, *versions, f"median of {rounds} rounds"])


def _config(model: str, overrides: Sequence[str]) -> DictConfig:
    return completed_config([*overrides, f"model={model}"])


def _pair(name: str, twin: str, overrides: Sequence[str]) -> list[Subject]:
    configs = {model: _config(model, overrides) for model in (name, twin)}
    return [
        Subject(model, build_network(cfg), input_shape(cfg), reference=twin)
        for model, cfg in configs.items()
    ]


def _with_twin(name: str, cfg: DictConfig, net: nn.Module, shape: tuple[int, ...]) -> list[Subject]:
    dense = dense_twin(cfg)
    if dense is None:
        return [Subject(name, net, shape, reference=name)]
    twin = f"{name}, ratio 1"
    return [Subject(name, net, shape, twin), Subject(twin, dense, shape, twin)]


def _peers() -> list[Subject]:
    """Networks for ImageNet of about the same cost: two of timm's, and ours."""
    if find_spec("timm") is None:
        raise UserError("peers need timm: pip install 'ghostexp[timm]'")
    import timm

    nets = {name: timm.create_model(name) for name in (PEER, "ghostnet_100")}
    nets["ghostnet, ours"] = ghostnet()
    return [Subject(name, net, (3, 224, 224), reference=PEER) for name, net in nets.items()]
