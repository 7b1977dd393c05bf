"""Detectors in ONNX Runtime beside torch: on drawn shapes, and on photos where they are there."""

import numpy as np
import pytest
import torch
from helpers import ROOT
from torch import nn

from ghostexp.config.build import build_network
from ghostexp.config.cli import compose_config
from ghostexp.data.examples import shrink
from ghostexp.data.folder import open_image
from ghostexp.data.shapes import render
from ghostexp.deploy.detector_file import (
    BoxComparison,
    compare_detectors,
    detector_to_onnx,
    load_detector,
)
from ghostexp.deploy.export import Form, write_onnx
from ghostexp.deploy.fuse import fuse

pytest.importorskip("onnx", reason="onnx is an extra")
BCCD = ROOT / "data" / "bccd" / "images"
PHOTOS = sorted(BCCD.glob("*"))[:6]


def drawn_images():
    generator = np.random.default_rng(0)
    drawn = [render(generator, 48, 64)[0] for _ in range(5)]
    return [torch.from_numpy(image).permute(2, 0, 1).contiguous() / 255 for image in drawn]


def photos():
    return [shrink(open_image(path, 3), 160).float() / 255 for path in PHOTOS]


def detector(model, images):
    """Untrained, with batch norms that know the images, and low scores let through."""
    small = ["model.min_size=96", "model.max_size=128"]
    net = build_network(
        compose_config(["dataset=shapes", "task=detection", f"model={model}", *small])
    )
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = None  # the statistics of these images alone
    boxes = [{"boxes": torch.tensor([[4.0, 4, 30, 30]]), "labels": torch.tensor([1])}] * 2
    with torch.no_grad():
        net.train()(images[:2], boxes)
    if hasattr(net, "score_thresh"):  # RetinaNet starts at scores of 0.01
        net.score_thresh = 0.005
    return net.eval()


@pytest.mark.parametrize("model", ["faster_rcnn_ghostnet_small", "retinanet_ghostnet_small"])
@pytest.mark.parametrize(
    "make",
    [
        drawn_images,
        pytest.param(photos, marks=pytest.mark.skipif(not PHOTOS, reason="data/bccd is not there")),
    ],
)
def test_a_file_finds_what_the_detector_finds(model, make, tmp_path):
    images = make()
    net = detector(model, images)
    path = tmp_path / "net.onnx"
    write_onnx(detector_to_onnx(fuse(net), images[0]), path, Form("onnx").metadata)
    metadata, deployed = load_detector(path)
    assert metadata["format"] == "onnx"
    found = compare_detectors(images, lambda image: net([image])[0], deployed)
    assert found.images == len(images)
    assert found.detections > 50
    assert found.matched >= 0.99 * found.detections
    with torch.no_grad():
        (expected,) = net([images[-1]])
    boxes = deployed(images[-1])
    assert set(boxes) == {"boxes", "labels", "scores"}
    torch.testing.assert_close(boxes["scores"], expected["scores"], atol=1e-4, rtol=0)


def test_a_comparison_counts_box_label_and_score():
    known = {
        "boxes": torch.tensor([[0.0, 0, 10, 10], [20, 20, 30, 30], [40, 40, 60, 60]]),
        "labels": torch.tensor([1, 2, 1]),
        "scores": torch.tensor([0.9, 0.8, 0.7]),
    }
    none = {name: value[:0] for name, value in known.items()}
    changes = {
        "boxes": known["boxes"] + torch.tensor([[0.0], [0.0], [2.0]]),
        "labels": torch.tensor([2, 2, 1]),
        "scores": torch.tensor([0.9, 0.82, 0.7]),
    }
    counts = {name: 2 for name in changes} | {"all": 3, "none": 0}
    ways = {name: known | {name: value} for name, value in changes.items()}
    for name, found in {**ways, "all": known, "none": none}.items():
        compared = compare_detectors([torch.zeros(3, 8, 8)], lambda _: known, lambda _: found)  # noqa: B023
        assert (compared.images, compared.detections) == (1, 3)
        assert compared.matched == counts[name], name
        assert (compared.complaint is None) == (name == "all")
    assert "only 2 of 3 detections in 1 test images" in BoxComparison(1, 3, 2).complaint
