"""A picture of a Ghost module shows what it should, for any number of maps."""

import pytest
import torch
from torch import nn

from ghostexp.layers import GhostModule
from ghostexp.pictures.ghosts import picture_ghosts


@pytest.mark.parametrize("ratio", [2, 4, 10])
@pytest.mark.parametrize("channels", [1, 3])
def test_picture(ratio, channels):
    net = nn.Sequential(GhostModule(channels, 20, 3, ratio=ratio))
    pixels = torch.randint(256, (channels, 8, 8), dtype=torch.uint8)
    figure, rows = picture_ghosts(net, "0", torch.randn(1, channels, 8, 8), pixels, "a caption")
    figure.canvas.draw()
    pictures = [axes for part in figure.subfigs for axes in part.axes if axes.images]
    shown = min(20 // ratio, 4 * max(1, 4 - min(ratio - 1, 4)))
    assert len(pictures) == 1 + shown * (1 + 2 * min(ratio - 1, 4))
    assert len(rows) == 20 - 20 // ratio
