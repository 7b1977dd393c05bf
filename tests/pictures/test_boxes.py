"""Pictures of boxes: where they are, in which colour, what the legend says."""

import numpy as np
import pytest
import torch
from matplotlib.colors import to_rgb
from matplotlib.patches import Rectangle
from PIL import Image
from torch import nn

from ghostexp.analysis.detections import above, detect
from ghostexp.pictures.boxes import DPI, annotate, compare
from ghostexp.pictures.palette import OKABE_ITO

NAMES = [f"class {k}" for k in range(1, 11)]
TRUTH = {"boxes": torch.tensor([[10.0, 20, 50, 60]]), "labels": torch.tensor([2])}
FOUND = {
    "boxes": torch.tensor([[12.0, 20, 52, 60], [0.0, 0, 5, 5]]),
    "labels": torch.tensor([2, 9]),
    "scores": torch.tensor([0.9, 0.3]),
}


class Finder(nn.Module):
    def forward(self, images):
        assert not self.training
        return [FOUND for _ in images]


def test_truth_and_predictions_stand_side_by_side():
    figure = compare([torch.zeros(3, 80, 120)] * 2, [TRUTH] * 2, [FOUND] * 2, NAMES)
    assert len(figure.axes) == 4
    truth, found = (
        [p for p in axes.patches if isinstance(p, Rectangle)] for axes in figure.axes[:2]
    )
    assert truth[0].get_bbox().extents.tolist() == [9.5, 19.5, 49.5, 59.5]
    assert [to_rgb(box.get_edgecolor()) for box in (*truth, *found)] == [
        to_rgb(OKABE_ITO[1]),
        to_rgb(OKABE_ITO[1]),
        to_rgb(OKABE_ITO[1]),  # the ninth class, told from the second by its dashes
    ]
    assert found[0].get_linestyle() != found[1].get_linestyle()
    assert [text.get_text() for text in figure.axes[1].texts] == ["0.90", "0.30"]
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == ["class 2", "class 9"]
    figure.draw_without_rendering()
    lowest = min(axes.get_window_extent().y0 for axes in figure.axes)
    assert legend.get_window_extent().y1 <= lowest  # below the images


@pytest.mark.parametrize("name", ["$x^$", "$5_$", "caf\udce9", r"\frac"])
def test_a_class_may_have_any_name(name):
    figure = compare([torch.zeros(3, 80, 120)], [TRUTH], [FOUND], [name] * 10)
    figure.draw_without_rendering()
    shown = figure.legends[0].get_texts()[0].get_text()
    assert shown.replace(r"\$", "$") == name.encode("utf-8", "backslashreplace").decode()


def test_weak_detections_are_left_out():
    kept = above(FOUND, 0.5)
    assert kept["labels"].tolist() == [2]
    assert len(kept["boxes"]) == len(kept["scores"]) == 1


def test_an_annotated_image_keeps_its_pixels(tmp_path):
    image = torch.rand(3, 80, 120)
    nothing = {"boxes": torch.zeros(0, 4), "labels": torch.zeros(0, dtype=torch.int64)}
    annotate(image, nothing, NAMES).savefig(tmp_path / "plain.png", dpi=DPI)
    with Image.open(tmp_path / "plain.png") as picture:
        drawn = np.asarray(picture.convert("RGB")) / 255
    assert drawn == pytest.approx(image.permute(1, 2, 0).numpy(), abs=1 / 128)
    annotate(image, FOUND, NAMES).savefig(tmp_path / "boxes.png", dpi=DPI)
    with Image.open(tmp_path / "boxes.png") as picture:
        assert picture.size[0] == 120
        assert picture.size[1] > 80  # the legend


def test_detecting_leaves_the_network_training():
    net = Finder().train()
    assert torch.equal(detect(net, [torch.zeros(3, 8, 8)])[0]["boxes"], FOUND["boxes"])
    assert net.training
