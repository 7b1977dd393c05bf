"""Schedules against torch's own, groups against a count by hand."""

import pytest
import torch
from torch import nn
from torch.optim.lr_scheduler import CosineAnnealingLR

from ghostexp.optim import constant, cosine, parameter_groups


def rates(schedule, steps, lr=0.1):
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=lr)
    scheduler = schedule(optimizer)
    found = []
    for _ in range(steps):
        found.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    return found


def test_cosine_is_torchs():
    ours = rates(lambda optimizer: cosine(optimizer, 20), 21)
    theirs = rates(lambda optimizer: CosineAnnealingLR(optimizer, 20), 21)
    assert ours == pytest.approx(theirs, abs=1e-9)


def test_warmup_rises_in_a_line_to_the_full_rate_and_falls_to_zero():
    found = rates(lambda optimizer: cosine(optimizer, 100, warmup=0.1), 101)
    assert found[:10] == pytest.approx([0.1 * (k + 1) / 11 for k in range(10)])
    assert max(found) == found[10] == pytest.approx(0.1)
    assert found[100] == pytest.approx(0, abs=1e-9)


def test_cosine_stays_at_zero_past_its_end():
    assert rates(lambda optimizer: cosine(optimizer, 5), 9)[5:] == pytest.approx([0] * 4)


@pytest.mark.parametrize("warmup", [-0.1, 1.0])
def test_warmup_outside_its_range_is_refused(warmup):
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=1)
    with pytest.raises(ValueError, match=r"in \[0, 1\)"):
        cosine(optimizer, 10, warmup=warmup)


def test_a_longer_schedule_takes_over_a_shorter_ones_state():
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=0.1)
    short = cosine(optimizer, 4)
    for _ in range(4):
        optimizer.step()
        short.step()
    longer = cosine(torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=0.1), 8)
    longer.load_state_dict(short.state_dict())
    longer.optimizer.step()
    longer.step()
    undisturbed = rates(lambda optimizer: cosine(optimizer, 8), 6)[5]
    assert longer.get_last_lr() == pytest.approx([undisturbed])


def test_constant_is_constant():
    assert rates(constant, 5) == [0.1] * 5


def test_norms_and_biases_go_without_decay_if_asked():
    net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(4, 2))
    net[3].bias.requires_grad = False
    decayed, rest = parameter_groups(net, decay_norm_and_bias=False)
    assert {id(p) for p in decayed["params"]} == {id(net[0].weight), id(net[3].weight)}
    assert {id(p) for p in rest["params"]} == {id(net[0].bias), *map(id, net[1].parameters())}
    assert rest["weight_decay"] == 0
    (everything,) = parameter_groups(net)
    assert len(everything["params"]) == 5
