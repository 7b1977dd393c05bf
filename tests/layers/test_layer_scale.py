"""LayerScale: a factor a channel, which no weight decay should touch."""

import torch

from ghostexp.layers.layer_scale import LayerScale2d
from ghostexp.training.optim import parameter_groups


def test_each_channel_has_its_factor():
    layer = LayerScale2d(3, 1e-5)
    maps = torch.randn(2, 3, 4, 5)
    torch.testing.assert_close(layer(maps), maps * 1e-5)
    layer.scale.data = torch.tensor([1.0, -2.0, 0.0])
    expected = torch.stack([maps[:, 0], -2 * maps[:, 1], 0 * maps[:, 2]], dim=1)
    torch.testing.assert_close(layer(maps), expected)


def test_it_counts_as_a_norm_for_weight_decay():
    decayed, plain = parameter_groups(LayerScale2d(3, 1.0), decay_norm_and_bias=False)
    assert not decayed["params"]
    assert len(plain["params"]) == 1
