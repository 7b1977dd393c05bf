"""Every kernel of a step is timed for its shape, and its speed is counted by hand."""

import pytest
from torch import nn

from ghostexp.analysis.kernel_speed import kernels_table, time_kernels


def net() -> nn.Sequential:
    layers = [nn.Conv2d(1, 4, 3, padding=1), nn.BatchNorm2d(4), nn.AdaptiveAvgPool2d(1)]
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(4, 3))


def test_speeds_and_shares_belong_together():
    ceiling, speeds = time_kernels(net(), (1, 8, 8), batch_size=37, rounds=2, bf16=False)
    assert {each.kernel for each in speeds} == {"forward", "backward"}
    for each in speeds:
        macs = 37 * 64 * 9 * 4  # backward, too: images have no gradient
        assert each.gflops == pytest.approx(2e-6 * macs / each.milliseconds)
        assert each.share == pytest.approx(each.gflops / ceiling)
    assert ceiling > 1
    table = kernels_table("here", ceiling, speeds)
    assert list(table.columns[1].cells) == ["3x3, 1 -> 4, 8x8"] * 2


def test_a_network_without_a_native_step_is_refused():
    with pytest.raises(ValueError, match="no kernel for"):
        time_kernels(
            nn.Sequential(nn.SiLU(), *net()), (1, 8, 8), batch_size=2, rounds=1, bf16=False
        )
