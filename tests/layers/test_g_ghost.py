"""G-Ghost stages: the formula with one concatenation, gradients, what the mix reads."""

import torch
from torch import nn

from ghostexp.layers.g_ghost import GhostStage


def stage() -> GhostStage:
    blocks = [nn.Conv2d(4, 4, 3, padding=1) for _ in range(3)]
    return GhostStage(
        nn.Conv2d(6, 12, 3, 2, 1), blocks, nn.Conv2d(12, 12, 1), channels=12, intrinsic=4
    )


def test_pooled_maps_give_the_mix_of_the_concatenated_maps():
    net = stage().double().eval()
    images = torch.randn(3, 6, 8, 8, dtype=torch.float64)
    first = net.first(images)
    made = [first, *[net.blocks[0](first[:, :4])]]
    for block in net.blocks[1:]:
        made.append(block(made[-1]))
    mix = net.mix(torch.cat(made, dim=1).mean((2, 3), keepdim=True))  # as the paper has it
    ghosts = (net.cheap_operation(first[:, 4:]) + mix).relu()
    expected = net.last(torch.cat([made[-1], ghosts], dim=1))
    assert expected.shape == (3, 12, 4, 4)
    torch.testing.assert_close(net(images), expected)


def test_every_parameter_gets_a_gradient():
    net = stage()
    net(torch.randn(4, 6, 8, 8)).square().sum().backward()
    assert all(parameter.grad.isfinite().all() for parameter in net.parameters())
    assert all(parameter.grad.any() for parameter in net.parameters())
