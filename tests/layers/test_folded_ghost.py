"""A bare Ghost module takes in the batch norm behind it, exactly also where a scale is 0."""

import pytest
import torch
from torch import nn

from ghostexp.layers import GhostModule
from ghostexp.layers.folded_ghost import FoldedGhost, affine_of, scale_layer


@pytest.mark.parametrize("ratio", [2, 3, 5])  # 11 maps: ratios 3 and 5 make surplus ghosts
@pytest.mark.parametrize("exporting", [False, True])
@torch.no_grad()
def test_one_module_computes_both(ratio, exporting, monkeypatch):
    torch.manual_seed(0)
    ghost = GhostModule(4, 11, 3, ratio=ratio).double()
    norm = nn.BatchNorm2d(11).double().eval()
    nn.init.normal_(norm.weight)
    nn.init.normal_(norm.bias)
    nn.init.normal_(norm.running_mean)
    nn.init.uniform_(norm.running_var, 0.5, 2.0)
    norm.weight[0] = norm.weight[-1] = 0.0
    inputs = torch.randn(3, 4, 7, 5).double()
    expected = norm(ghost(inputs))
    monkeypatch.setattr(torch.compiler, "is_exporting", lambda: exporting)
    folded = FoldedGhost(ghost, affine_of(norm))
    torch.testing.assert_close(folded(inputs), expected)
    torch.testing.assert_close(folded.float()(inputs.float()), expected.float())


@pytest.mark.parametrize(
    ("layer", "shape"),
    [
        (nn.Linear(6, 4, bias=False), (3, 6)),
        (nn.Conv2d(6, 4, 3, groups=2), (3, 6, 5, 5)),
        (nn.ConvTranspose2d(6, 4, 3, groups=2), (3, 6, 5, 5)),
    ],
    ids=["linear", "convolution", "transposed"],
)
@torch.no_grad()
def test_a_layer_takes_scale_and_shift_in(layer, shape):
    inputs, scale, shift = torch.randn(shape), torch.randn(4), torch.randn(4)
    along = (1, 4, *[1] * (len(shape) - 2))
    expected = scale.view(along) * layer(inputs) + shift.view(along)
    scale_layer(layer, (scale.double(), shift.double()))
    torch.testing.assert_close(layer(inputs), expected, rtol=1e-4, atol=1e-5)
