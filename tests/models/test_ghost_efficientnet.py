"""Ghost-EfficientNetV2: sizes of the report's table, each property of its recipe, gradients."""

from dataclasses import replace

import pytest
import torch
from torch import nn

from ghostexp.analysis.complexity import count_macs, count_params
from ghostexp.layers.cosine import CosineLinear
from ghostexp.layers.eca import ECA
from ghostexp.layers.layer_scale import LayerScale2d
from ghostexp.models.ghost_efficientnet import LITERAL, GhostBlock, Recipe, ghost_efficientnet_v2

SCALING = {  # width_mult, depth_mult: params literal, folded, without factors off the residuals
    (0.5, 0.5): (1_175_923, 1_156_191, 1_175_595),
    (0.75, 1.0): (4_900_070, 4_843_292, 4_899_578),
    (1.0, 1.0): (8_493_666, 8_417_962, 8_493_010),
}


def build(recipe=None, *, width_mult=0.25, depth_mult=0.2, cosine_head=True, **options):
    return ghost_efficientnet_v2(
        6,
        1,
        width_mult=width_mult,
        depth_mult=depth_mult,
        cosine_head=cosine_head,
        recipe=recipe,
        **options,
    )


def blocks(net):
    return [module for module in net.modules() if isinstance(module, GhostBlock)]


def of_kind(net, kind):
    return [module for module in net.modules() if isinstance(module, kind)]


@pytest.mark.parametrize(("width_mult", "depth_mult"), SCALING)
def test_params_of_the_report(width_mult, depth_mult):
    size = {"width_mult": width_mult, "depth_mult": depth_mult}
    with torch.device("meta"):
        literal = build(LITERAL, **size)
        at_residuals = build(replace(LITERAL, layer_scale_everywhere=False), **size)
    folded = sum(norm.num_features for norm in of_kind(literal, nn.BatchNorm2d))
    expected = SCALING[width_mult, depth_mult]  # a folded norm leaves one bias of its two
    assert (count_params(literal), count_params(literal) - folded) == expected[:2]
    assert count_params(at_residuals) == expected[2]


def test_the_recipe_that_trains_is_the_default():
    with torch.device("meta"):
        net = build(width_mult=0.75, depth_mult=1.0)
    head = 192 * 1280 + 2 * 1280 + (1280 - 192) * 6
    assert count_params(net) == 4_899_578 + head == 5_154_426


def test_maps_shrink_as_the_table_says():
    net = build().eval()
    shapes = []
    for stage in [net.stem, *net.blocks]:
        stage.register_forward_hook(lambda _, inputs, maps: shapes.append(tuple(maps.shape[1:])))
    assert net(torch.zeros(1, 1, 64, 96)).shape == (1, 6)
    assert shapes == [
        (6, 32, 48), (6, 32, 48), (12, 16, 24), (16, 8, 12), (32, 4, 6), (40, 4, 6), (64, 2, 3),
    ]  # fmt: skip


def test_depths_and_residuals():
    with torch.device("meta"):
        net = build(width_mult=0.5, depth_mult=0.5)
    assert [len(stage) for stage in net.blocks] == [1, 2, 2, 3, 5, 8]
    first = [stage[0].residual for stage in net.blocks]
    assert first == [True, False, False, False, False, False]
    assert sum(block.residual for block in blocks(net)) == 21 - 5


def test_a_block_is_its_input_and_a_scaled_branch():
    block = blocks(build(replace(LITERAL, layer_scale=0.5, stochastic_depth_prob=0.0)))[0].eval()
    maps = torch.randn(2, 6, 8, 8)
    branch = block.projection(block.attention(block.expansion(maps)))
    torch.testing.assert_close(block(maps), maps + 0.5 * branch)


def test_layer_scale_is_where_the_recipe_says():
    def factors(recipe):
        return [layer.scale[0].item() for layer in of_kind(build(recipe), LayerScale2d)]

    depth = len(blocks(build()))
    assert factors(LITERAL) == pytest.approx([1e-5] * depth)
    assert len(factors(replace(LITERAL, layer_scale_everywhere=False))) == depth - 5
    assert factors(Recipe()) == pytest.approx([0.1] * (depth - 5))
    assert factors(Recipe(layer_scale=None)) == []


def test_stochastic_depth_rises_or_does_not():
    def probs(recipe):
        return [block.stochastic_depth.p for block in blocks(build(recipe))]

    recipe = Recipe(stochastic_depth_prob=0.3)
    depth = len(probs(recipe))
    assert probs(recipe) == pytest.approx([0.3 * index / depth for index in range(depth)])
    assert probs(replace(recipe, depth_prob_rises=False)) == [0.3] * depth


def test_other_properties_of_the_recipe():
    net = build(replace(LITERAL, norm_momentum=0.01, attention=False, projection_activation=True))
    assert {norm.momentum for norm in of_kind(net, nn.BatchNorm2d)} == {0.01}
    assert not of_kind(net, ECA)
    assert len(of_kind(build(LITERAL), ECA)) == len(blocks(net))
    assert len(of_kind(net, nn.SiLU)) == len(of_kind(build(LITERAL), nn.SiLU)) + 2 * len(
        blocks(net)
    )
    assert build(LITERAL).head.in_features == 64
    assert build().head.in_features == 1280


@pytest.mark.parametrize("recipe", [LITERAL, Recipe(layer_scale=0.1, projection_activation=True)])
def test_every_parameter_gets_a_gradient(recipe):
    net = build(replace(recipe, stochastic_depth_prob=0.0)).train()
    net(torch.randn(4, 1, 32, 32)).square().sum().backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in net.parameters())


def test_embedding_head_and_stages():
    net = build(cosine_head=False).eval()
    images = torch.randn(2, 1, 32, 40)
    embeddings = net.embed(images)
    assert embeddings.shape == (2, 1280)
    assert torch.equal(net.head(embeddings), net(images))
    assert type(net.head) is nn.Linear
    assert isinstance(build().head, CosineLinear)
    assert sum(count_params(stage) for stage in net.stages()) == count_params(net)
    assert net.stages()[0] is net.stem
    assert net.stages()[-1] is net.head
    assert len(net.stages()) == len(build(LITERAL).stages()) + 1


def test_weights_of_a_run_with_other_classes(tmp_path):
    start, path = build(), tmp_path / "start.pth"
    torch.save(start.state_dict(), path)
    net = ghost_efficientnet_v2(
        10, 1, width_mult=0.25, depth_mult=0.2, cosine_head=True, weights=str(path)
    )
    assert net.head.weight.shape == (10, 1280)
    assert torch.equal(net.stem[0].weight, start.stem[0].weight)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"width_mult": 0.05}, "at least two of the stem's 24 channels"),
        ({"depth_mult": 0.0}, "above 0"),
    ],
)
def test_multipliers_that_leave_nothing_are_refused(options, sentence):
    with pytest.raises(ValueError, match=sentence):
        build(**options)


def test_macs_of_the_1280_channels_at_a_spectrogram():
    shape = (1, 64, 101)
    extra = 64 * 1280 * 2 * 4 + (1280 - 64) * 6  # the 1x1 convolution at 2x4, the wider head
    assert count_macs(build(), shape) - count_macs(build(LITERAL), shape) == extra
