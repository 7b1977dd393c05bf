"""Counts against torch's own counter, closed formulas and the published figures."""

import pytest
import torch
import torchvision
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from ghostexp.analysis.complexity import (
    count_macs,
    count_params,
    count_thop,
    count_trainable_params,
    layer_table,
)
from ghostexp.layers import GhostModule
from ghostexp.models import ghost_resnet56, resnet20

IMAGE = (3, 32, 32)


def flops(net: nn.Module, input_shape: tuple[int, ...]) -> int:
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        net.eval()(torch.zeros(1, *input_shape))
    return counter.get_total_flops()


@pytest.mark.parametrize(
    ("net", "input_shape"),
    [
        (resnet20(), IMAGE),
        (ghost_resnet56(ratio=10, inner_norm=True), IMAGE),
        (GhostModule(3, 16, 3, 2, ratio=5), (3, 9, 7)),
        (nn.Conv2d(4, 8, (3, 5), 2, dilation=2, groups=2), (4, 20, 20)),
        (nn.ConvTranspose2d(4, 6, 3, stride=2, groups=2), (4, 5, 7)),
        (nn.Conv1d(4, 8, 3), (4, 11)),
        (nn.Linear(5, 7), (5,)),
        (torchvision.models.mobilenet_v3_small(num_classes=10), (3, 64, 64)),
    ],
    ids=lambda value: type(value).__name__,
)
def test_macs_are_half_of_torchs_flops(net, input_shape):
    assert 2 * count_macs(net, input_shape) == flops(net, input_shape)


def test_a_layer_called_twice_counts_twice():
    layer = nn.Linear(4, 4)
    net = nn.Sequential(layer, layer)
    assert count_macs(net, (4,)) == 2 * 16
    assert [(row.params, row.macs) for row in layer_table(net, (4,))] == [(20, 16), (0, 16)]


def test_thop_adds_four_for_each_element_through_a_norm():
    net = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU())
    assert count_macs(net, (3, 5, 7)) == 8 * 5 * 7 * 3 * 9
    assert count_thop(net, (3, 5, 7)) == 8 * 5 * 7 * (3 * 9 + 4)


# of torchvision's record of its weights, which another counter made; the image size is theirs
@pytest.mark.parametrize(
    ("name", "side"),
    [("swin_t", 224), ("swin_v2_t", 256), ("vit_b_16", 224), ("maxvit_t", 224), ("resnet18", 224)],
)
def test_macs_that_torchvision_publishes(name, side):
    with torch.device("meta"):
        net = torchvision.models.get_model(name)
    published = torchvision.models.get_model_weights(name).DEFAULT.meta["_ops"]
    rows = layer_table(net, (3, side, side))
    macs = sum(row.macs for row in rows)
    assert macs == count_macs(net, (3, side, side))
    assert round(macs / 1e9, 3) == published
    assert sum(row.params for row in rows) == count_params(net)
    products = {row.type for row in rows if row.products}
    assert all("Attention" in kind for kind in products)
    assert bool(products) == (name != "resnet18")


def test_products_of_attention_are_said_and_thop_does_not_see_them():
    layer = nn.TransformerEncoderLayer(16, 2, dim_feedforward=32, batch_first=True)
    words, width = 5, 16
    rows = {row.name: row for row in layer_table(layer, (words, width))}
    attention = 4 * words * width**2 + 2 * words**2 * width  # projections, scores and their use
    feed_forward = 2 * words * 16 * 32
    assert rows["self_attn"].macs == rows["self_attn"].products == attention
    assert (rows["self_attn"].params, rows["self_attn"].thop) == (4 * (16 * 16 + 16), 0)
    assert count_macs(layer, (words, width)) == attention + feed_forward
    assert count_thop(layer, (words, width)) == feed_forward


def test_products_of_a_forward_are_counted():
    class Gram(nn.Module):
        def forward(self, maps: torch.Tensor) -> torch.Tensor:
            return maps @ maps.mT

    (row,) = layer_table(Gram(), (4, 6))
    assert (row.name, row.macs, row.products, row.out_shape) == ("", 4 * 6 * 4, 96, (4, 4))


def test_compiled_networks_are_counted_as_they_are():
    net = resnet20()
    macs = count_macs(net, IMAGE)
    net.compile()
    assert count_macs(net, IMAGE) == macs
    assert torch.backends.mha.get_fastpath_enabled()


def test_trainable_params():
    net = nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 2))
    net[0].requires_grad_(False)
    assert (count_params(net), count_trainable_params(net)) == (16 + 10, 10)


def test_layer_table_adds_up():
    net = ghost_resnet56()
    rows = layer_table(net, IMAGE)
    assert sum(row.params for row in rows) == count_params(net) == 439_914
    assert sum(row.macs for row in rows) == 65_325_696
    first, last = rows[0], rows[-1]
    assert (first.name, first.type) == ("stem.0.primary_conv.0", "Conv2d")
    assert (first.out_shape, first.params, first.macs) == ((8, 32, 32), 216, 221_184)
    assert (last.name, last.out_shape, last.macs) == ("classifier", (10,), 640)


def test_net_is_left_as_it_was():
    net = resnet20().train()
    net.stem[1].eval()  # a frozen norm
    state = {name: value.clone() for name, value in net.state_dict().items()}
    modes = [module.training for module in net.modules()]
    count_macs(net, IMAGE)
    with pytest.raises(ValueError, match="cannot take an input of 1x32x32"):
        count_macs(net, (1, 32, 32))
    assert [module.training for module in net.modules()] == modes
    assert not any(module._forward_hooks for module in net.modules())
    torch.testing.assert_close(dict(net.state_dict()), state)


def test_dtype_of_the_net_is_used():
    assert count_macs(nn.Linear(3, 2, dtype=torch.float64), (3,)) == 6
