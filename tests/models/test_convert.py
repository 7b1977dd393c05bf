"""convert_to_ghost on small nets made for one rule each, and on torchvision's networks."""

from collections import Counter, OrderedDict
from copy import deepcopy

import pytest
import torch
import torchvision
from torch import nn
from torch.nn.utils.parametrizations import weight_norm

from ghostexp.layers import GhostModule
from ghostexp.models import carry_out, convert_to_ghost, plan_conversion


def params(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def ghost_names(net: nn.Module) -> list[str]:
    return [name for name, module in net.named_modules() if isinstance(module, GhostModule)]


def small_net() -> nn.Sequential:
    """Dense, depthwise and dense convolutions, a batch norm behind the first two, and classes."""
    return nn.Sequential(
        OrderedDict(
            stem=nn.Conv2d(3, 8, 3, padding=1),
            stem_norm=nn.BatchNorm2d(8, eps=0.25, momentum=0.5),
            depthwise=nn.Conv2d(8, 8, 3, padding=1, groups=8),
            depthwise_norm=nn.BatchNorm2d(8),
            head=nn.Conv2d(8, 6, 3),
            classes=with_classes(6),
        )
    )


def with_classes(channels: int) -> nn.Sequential:
    """What makes ten classes of maps, so that no convolution before it is the output."""
    return nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, 10))


def test_rules_on_a_small_net():
    net = small_net()
    depthwise = net.depthwise
    rows = plan_conversion(net, ratio=2).rows
    assert ghost_names(net) == []  # a plan changes nothing
    assert convert_to_ghost(net, ratio=2) is net
    assert ghost_names(net) == ["stem", "head"]
    assert net.depthwise is depthwise
    assert net.stem.primary_conv[0].bias is None  # cancelled by the batch norm
    assert net.head.primary_conv[0].bias is not None
    assert net.head.cheap_operation[0].bias is not None
    assert [(row.name, row.replaced) for row in rows] == [
        ("stem", True),
        ("depthwise", False),
        ("head", True),
    ]
    assert "bias dropped" in rows[0].reason
    assert rows[1].reason == "grouped, groups=8"
    assert "bias kept" in rows[2].reason
    assert str(rows[1]) == "depthwise: kept, 80 -> 80 params (grouped, groups=8)"


@pytest.mark.parametrize("ratio", [2, 3, 5, 6])
@pytest.mark.parametrize("inner_norm", [False, True])
def test_rows_add_up_to_the_change_in_params(ratio, inner_norm):
    net = small_net()
    before = params(net)
    rows = plan_conversion(net, ratio, 5, inner_norm=inner_norm).rows
    convert_to_ghost(net, ratio, 5, inner_norm=inner_norm)
    assert params(net) - before == sum(row.params_after - row.params_before for row in rows)


def test_inner_norm_moves_the_batch_norm():
    net = small_net()
    rows = plan_conversion(net, inner_norm=True).rows
    convert_to_ghost(net, inner_norm=True)
    assert isinstance(net.stem_norm, nn.Identity)
    assert isinstance(net.depthwise_norm, nn.BatchNorm2d)
    for half in (net.stem.primary_conv, net.stem.cheap_operation):
        assert (half[1].num_features, half[1].eps, half[1].momentum) == (4, 0.25, 0.5)
    assert len(net.head.primary_conv) == 1
    assert "moved inside" in rows[0].reason
    assert "no batch norm follows" in rows[2].reason


def test_inner_norm_leaves_other_norms_alone():
    class NormAndReLU(nn.BatchNorm2d):
        def forward(self, inputs):
            return super().forward(inputs).relu()

    layers = [nn.Conv2d(3, 8, 3), NormAndReLU(8), nn.Conv2d(8, 4, 3), nn.ReLU(), nn.BatchNorm2d(4)]
    net = nn.Sequential(*layers, with_classes(4))
    rows = plan_conversion(net, inner_norm=True).rows
    convert_to_ghost(net, inner_norm=True)
    assert isinstance(net[1], NormAndReLU)
    assert isinstance(net[4], nn.BatchNorm2d)  # not of the convolution, but of the activation
    assert "NormAndReLU is not a plain batch norm" in rows[0].reason
    assert "no batch norm follows" in rows[1].reason


def test_a_plan_that_was_looked_at_is_carried_out():
    net = small_net()
    other = deepcopy(net)
    plan = plan_conversion(net, 3, skip=["head"], inner_norm=True)
    shown = plan.rows
    assert ghost_names(net) == []
    torch.manual_seed(0)
    assert carry_out(plan) is net
    assert ghost_names(net) == [row.name for row in shown if row.replaced] == ["stem"]
    torch.manual_seed(0)
    convert_to_ghost(other, 3, skip=["head"], inner_norm=True)
    assert str(net) == str(other)
    assert torch.equal(net.stem.primary_conv[0].weight, other.stem.primary_conv[0].weight)
    conv = nn.Conv2d(3, 8, 3)  # the network is the convolution itself
    assert isinstance(carry_out(plan_conversion(conv)), GhostModule)
    with pytest.raises(ValueError, match="init is fresh or filters, not x"):
        carry_out(plan_conversion(small_net()), init="x")


def test_ratio_one_replaces_nothing():
    net = small_net()
    state = {name: weight.clone() for name, weight in net.state_dict().items()}
    assert not any(row.replaced for row in plan_conversion(net, ratio=1).rows)
    convert_to_ghost(net, ratio=1, inner_norm=True)
    assert ghost_names(net) == []
    torch.testing.assert_close(dict(net.state_dict()), state)


def test_a_second_conversion_changes_nothing():
    net = convert_to_ghost(small_net())
    ghosts = [net.stem, net.head]
    rows = plan_conversion(net, ratio=3).rows
    convert_to_ghost(net, ratio=3)
    assert [net.stem, net.head] == ghosts
    assert [row.replaced for row in rows] == [False] * 5
    assert rows[0].name == "stem.primary_conv.0"
    assert rows[0].reason == "part of a Ghost module"


@pytest.mark.parametrize(
    ("choice", "expected"),
    [
        ({"skip": ["stem"]}, ["head"]),
        ({"skip": ["s*", "head"]}, []),
        ({"only": ["head"]}, ["head"]),
        ({"only": ["*"], "skip": ["hea?"]}, ["stem"]),
        ({"only": []}, []),
    ],
)
def test_skip_and_only(choice, expected):
    assert ghost_names(convert_to_ghost(small_net(), **choice)) == expected


@pytest.mark.parametrize("option", ["skip", "only"])
def test_pattern_without_a_convolution(option):
    with pytest.raises(ValueError, match=rf"^{option}: .*stem, depthwise, head.*'stem_norm'"):
        convert_to_ghost(small_net(), **{option: ["stem", "stem_norm"]})
    with pytest.raises(ValueError, match=f"{option} must be a list of names, not the string"):
        convert_to_ghost(small_net(), **{option: "stem"})


@pytest.mark.parametrize("ratio", [0, -1, 2.5])
def test_bad_ratio_changes_nothing(ratio):
    net = small_net()
    with pytest.raises(
        ValueError, match=f"ratio must be a whole number of at least 1, not {ratio}"
    ):
        convert_to_ghost(net, ratio=ratio)
    assert ghost_names(net) == []


def test_a_layer_with_fewer_channels_than_the_ratio_stays():
    net = small_net()
    rows = plan_conversion(net, ratio=7).rows
    assert ghost_names(convert_to_ghost(net, ratio=7)) == ["stem"]
    assert rows[2].reason == "its 6 output channels are fewer than the ratio 7"


def test_bad_cheap_kernel():
    with pytest.raises(ValueError, match="odd whole number, not 4"):
        convert_to_ghost(small_net(), cheap_kernel_size=4)


def test_geometry_dtype_and_mode_are_kept():
    conv = nn.Conv2d(
        3, 8, (3, 5), 2, (1, 4), (1, 2), padding_mode="circular", dtype=torch.float64
    ).eval()
    ghost = convert_to_ghost(conv, ratio=3)  # the network is the convolution itself
    assert isinstance(ghost, GhostModule)
    assert not ghost.training
    primary = ghost.primary_conv[0]
    for name in ("kernel_size", "stride", "padding", "dilation", "padding_mode"):
        assert getattr(primary, name) == getattr(conv, name)
    images = torch.randn(2, 3, 11, 14, dtype=torch.float64)
    assert ghost(images).shape == conv(images).shape
    assert primary.bias is not None


def test_device_is_kept():
    with torch.device("meta"):
        net = small_net()
    convert_to_ghost(net, inner_norm=True)
    assert {parameter.device.type for parameter in net.parameters()} == {"meta"}


def test_shared_convolution_is_converted_once_and_stays_shared():
    conv = nn.Conv2d(4, 4, 3, padding=1)
    net = nn.Sequential(conv, nn.BatchNorm2d(4), conv, nn.ReLU(), with_classes(4))
    rows = plan_conversion(net, inner_norm=True).rows
    convert_to_ghost(net, inner_norm=True)
    assert net[0] is net[2]
    assert isinstance(net[0], GhostModule)
    assert net[0].primary_conv[0].bias is not None  # no batch norm behind the second place
    assert isinstance(net[1], nn.BatchNorm2d)
    assert [row.name for row in rows] == ["0"]


def test_shared_block_and_shared_batch_norm():
    norm = nn.BatchNorm2d(4)
    block = nn.Sequential(nn.Conv2d(4, 4, 3, padding=1), norm)
    net = nn.Sequential(block, block, nn.Conv2d(4, 4, 3), norm, with_classes(4))
    rows = plan_conversion(net, inner_norm=True).rows
    convert_to_ghost(net, inner_norm=True)
    assert ghost_names(net) == ["0.0", "2"]
    assert net[0] is net[1]
    assert net[3] is norm
    assert all("is shared" in row.reason for row in rows)


def test_shared_block_moves_its_own_batch_norm_once():
    block = nn.Sequential(nn.Conv2d(4, 4, 3, padding=1), nn.BatchNorm2d(4))
    net = convert_to_ghost(nn.Sequential(block, block, with_classes(4)), inner_norm=True)
    assert isinstance(net[1][1], nn.Identity)
    assert params(net) == 2 * 4 * 9 + 2 * 9 + 2 * 4 + params(with_classes(4))


class FilteredConv2d(nn.Conv2d):
    pass


def test_convolutions_that_a_ghost_module_cannot_stand_for():
    tied = nn.Conv2d(3, 3, 3)
    hooked = nn.Conv2d(3, 3, 3)
    hooked.register_forward_hook(lambda *_: None)
    net = nn.Sequential(
        tied,
        nn.Conv2d(3, 3, 3),
        weight_norm(nn.Conv2d(3, 3, 3)),
        FilteredConv2d(3, 3, 3),
        hooked,
    )
    net[1].weight = tied.weight
    reasons = [row.reason for row in plan_conversion(net).rows]
    assert reasons[0] == reasons[1] == "its weight is shared with another module"
    assert reasons[2] == "its weight is computed by a parametrization or a hook"
    assert reasons[3] == "FilteredConv2d is not a plain Conv2d"
    assert reasons[4] == "it carries hooks"
    assert ghost_names(convert_to_ghost(net)) == []


def gradients_reach_all(net: nn.Module, size: int) -> bool:
    net(torch.randn(2, 3, size, size)).square().sum().backward()
    return all(bool(parameter.grad.any()) for parameter in net.parameters())


def test_torchvision_resnet18():
    net = torchvision.models.resnet18(num_classes=10)
    rows = plan_conversion(net, inner_norm=True).rows
    convert_to_ghost(net, inner_norm=True)
    assert [row.replaced for row in rows] == [True] * 20  # 17 and 3 downsamplings
    assert all("moved inside" in row.reason for row in rows)
    # s = 2 leaves half of each c -> n kernel and adds n / 2 cheap filters of 9; norms, head stay
    convolutions = [(3, 64, 7)] + [(64, 64, 3)] * 4
    for c in (64, 128, 256):
        convolutions += [(c, 2 * c, 3), (2 * c, 2 * c, 3), (c, 2 * c, 1)] + [(2 * c, 2 * c, 3)] * 2
    ghosts = sum(n // 2 * (c * k * k + 9) + 2 * n for c, n, k in convolutions)
    assert params(net) == ghosts + 512 * 10 + 10
    assert gradients_reach_all(net, 64)


@pytest.mark.parametrize(("name", "with_norm"), [("vgg11_bn", True), ("vgg11", False)])
def test_torchvision_vgg_drops_a_bias_only_before_a_norm(name, with_norm):
    with torch.device("meta"):  # 133 million weights that nobody needs
        net = getattr(torchvision.models, name)(init_weights=False)
    convert_to_ghost(net)
    ghosts = [module for module in net.modules() if isinstance(module, GhostModule)]
    assert len(ghosts) == 8
    assert all((ghost.primary_conv[0].bias is None) == with_norm for ghost in ghosts)
    assert all((ghost.cheap_operation[0].bias is None) == with_norm for ghost in ghosts)
    assert net(torch.empty(1, 3, 224, 224, device="meta")).shape == (1, 1000)


def test_torchvision_mobilenet_v3_small():
    net = torchvision.models.mobilenet_v3_small(num_classes=10)
    before = params(net)
    rows = plan_conversion(net).rows
    convert_to_ghost(net)
    kept = Counter(row.reason.partition(",")[0] for row in rows if not row.replaced)
    # a depthwise convolution in each of 11 blocks; two of squeeze and excitation in 9 of them
    assert sum(count for reason, count in kept.items() if reason == "grouped") == 11
    assert sum(count for reason, count in kept.items() if "1x1 pixels" in reason) == 18
    assert len(rows) == 52
    assert sum(row.replaced for row in rows) == 52 - 11 - 18
    assert all("bias" not in row.reason for row in rows if row.replaced)  # none has one
    assert params(net) == before + sum(row.params_after - row.params_before for row in rows)
    assert gradients_reach_all(net, 64)


def test_a_ratio_that_converts_none_of_the_named_layers_is_an_error():
    net = nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Conv2d(8, 8, 3))
    with pytest.raises(ValueError, match="ratio=9 converts no layer .* fewer than the ratio 9"):
        convert_to_ghost(net, 9, only=["*"])
    assert not any(isinstance(module, GhostModule) for module in net.modules())
