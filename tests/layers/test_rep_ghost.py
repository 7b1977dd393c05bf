"""Branches of GhostNetV3 and RepGhost: their number, and their fusion against their sum."""

import pytest
import torch
from torch import nn

from ghostexp.layers.ghost import GhostModule
from ghostexp.layers.rep_ghost import RepConv, added_ghost, fuse_branches, rep_ghost


def randomize_norms(net: nn.Module) -> None:
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.normal_(module.running_mean, std=0.2)
            nn.init.uniform_(module.running_var, 0.5, 1.5)
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.bias, std=0.2)


CASES = [  # in, out, kernel, stride, groups, branches
    (6, 4, 1, 1, 1, 3),
    (6, 6, 1, 1, 1, 4),
    (6, 6, 3, 1, 6, 5),
    (6, 6, 5, 2, 6, 4),
    (6, 6, 3, 1, 2, 5),
    (4, 8, 3, 1, 4, 4),
]


@pytest.mark.parametrize(("in_", "out", "kernel", "stride", "groups", "branches"), CASES)
def test_fused_convolution_equals_the_sum(in_, out, kernel, stride, groups, branches):
    conv = RepConv(in_, out, kernel, stride, groups=groups).double().eval()
    assert sum(isinstance(module, nn.BatchNorm2d) for module in conv.modules()) == branches
    randomize_norms(conv)
    maps = torch.randn(2, in_, 9, 9, dtype=torch.float64)
    fused = fuse_branches(conv)
    assert type(fused) is nn.Conv2d
    torch.testing.assert_close(fused(maps), conv(maps), rtol=0, atol=1e-12)


def test_rep_ghost_is_a_ghost_module_with_branches():
    ghost = rep_ghost(6, 10, activation_layer=nn.ReLU).eval()
    randomize_norms(ghost)
    assert isinstance(ghost, GhostModule)
    maps = torch.randn(2, 6, 8, 8)
    intrinsic = ghost.primary_conv[0](maps).relu()
    ghosts = ghost.cheap_operation[0](intrinsic).relu()
    torch.testing.assert_close(ghost(maps), torch.cat([intrinsic, ghosts], 1))


def test_added_ghosts_fold_into_one_depthwise_convolution():
    ghost = added_ghost(6, 10, activation_layer=nn.ReLU).double().eval()
    randomize_norms(ghost)
    assert len(ghost[1].state_dict()) == 5 + 6  # batch norm; convolution with batch norm
    maps = torch.randn(2, 6, 8, 8, dtype=torch.float64)
    made = ghost[0](maps)
    expected = (ghost[1].repeated[0](made) + ghost[1].identity(made)).relu()
    torch.testing.assert_close(ghost(maps), expected)
    deployed = fuse_branches(ghost)
    assert type(deployed[1]) is nn.Conv2d
    torch.testing.assert_close(deployed(maps), expected)


def test_fusion_makes_a_new_network():
    net = nn.Sequential(rep_ghost(6, 10), nn.Sequential(RepConv(10, 10, 3, groups=10)))
    net.eval()
    before = {key: value.clone() for key, value in net.state_dict().items()}
    deployed = fuse_branches(net)
    assert not any(isinstance(module, RepConv | nn.BatchNorm2d) for module in deployed.modules())
    assert not any(module.training for module in deployed.modules())
    with torch.no_grad():
        for parameter in deployed.parameters():
            parameter.zero_()
    assert sum(isinstance(module, RepConv) for module in net.modules()) == 3
    assert before.keys() == net.state_dict().keys()
    assert all(torch.equal(before[key], value) for key, value in net.state_dict().items())
