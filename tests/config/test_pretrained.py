"""Weights that torchvision or timm would fetch are known before they are fetched."""

import pytest
import torch
from omegaconf import OmegaConf

from ghostexp.config.build import build
from ghostexp.config.pretrained import forget_fetched_weights, settings_of_hubs

RESNET = "torchvision.models.resnet18"
DETECTOR = "ghostexp.models.detection.faster_rcnn_mobilenet_v3"


@pytest.mark.parametrize(
    ("node", "changed"),
    [
        ({"_target_": RESNET, "weights": "DEFAULT"}, "model.net.weights=DEFAULT"),
        (
            {"_target_": RESNET, "weights": "ResNet18_Weights.IMAGENET1K_V1"},
            "model.net.weights=ResNet18_Weights.IMAGENET1K_V1",
        ),
        ({"_target_": "torchvision.models.get_model", "name": "resnet18"}, None),
        (
            {"_target_": "torchvision.models.get_model", "name": "resnet18", "weights": "DEFAULT"},
            "model.net.weights=DEFAULT",
        ),
        (
            {"_target_": "torchvision.models.detection.retinanet_resnet50_fpn"},
            "model.net.weights_backbone=ResNet50_Weights.IMAGENET1K_V1",
        ),
        (
            {"_target_": "timm.create_model", "model_name": "resnet18", "pretrained": True},
            "model.net.pretrained=True",
        ),
        (
            {"_target_": DETECTOR, "num_classes": 2, "weights": "IMAGENET1K_V1"},
            "model.net.weights=IMAGENET1K_V1",
        ),
    ],
)
def test_a_network_is_built_without_what_its_library_would_fetch(
    node, changed, tmp_path, monkeypatch
):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setenv("HF_HOME", str(tmp_path))
    cfg = OmegaConf.create({"model": {"net": node}})
    assert forget_fetched_weights(cfg) == ([changed] if changed else [])
    assert isinstance(build(cfg.model.net, "model.net"), torch.nn.Module)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "node",
    [
        {"_target_": RESNET},
        {"_target_": RESNET, "weights": "IMAGENET1K_V9"},
        {"_target_": RESNET, "weights": "DEFAULT", "num_classes": 10},
        {"_target_": "timm.create_model", "model_name": "resnet18"},
        {"_target_": "timm.create_model", "model_name": "no_such_network", "pretrained": True},
        {"_target_": "ghostexp.models.ghostnet.ghostnet", "weights": "ghostnet_1.0"},
        {"_target_": DETECTOR, "weights": "IMAGENET1K_V9"},
    ],
)
def test_what_fetches_nothing_or_is_refused_before_stays_as_it_is(node):
    cfg = OmegaConf.create({"model": node})
    assert forget_fetched_weights(cfg) == []
    assert cfg.model == node


def test_a_network_of_a_hub_is_known_by_its_name():
    names = {"a": "hf-hub:timm/resnet18.a1_in1k", "b": "hf_hub:x", "c": "local-dir:y", "d": "z"}
    node = OmegaConf.create(names)
    assert settings_of_hubs(node, "m") == [f"m.{key}={names[key]}" for key in ("a", "b", "c")]
