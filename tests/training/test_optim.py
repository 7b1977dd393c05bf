"""Schedules against torch's own, groups against a count by hand."""

from functools import partial
from math import cos, pi

import pytest
import torch
from torch import nn
from torch.optim.lr_scheduler import CosineAnnealingLR, MultiStepLR

from ghostexp.models import resnet20
from ghostexp.training.optim import constant, cosine, layerwise_groups, multistep, parameter_groups


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


@pytest.mark.parametrize("steps", [1, 10])
def test_a_warmup_that_rounds_to_the_whole_training_reaches_the_full_rate(steps):
    found = rates(lambda optimizer: cosine(optimizer, steps, warmup=0.96), steps + 1)
    assert found[steps - 1] == pytest.approx(0.1)
    assert found[steps] == pytest.approx(0)


def test_steps_at_shares_are_torchs_at_milestones():
    ours = rates(lambda optimizer: multistep(optimizer, 15, shares=[0.5, 0.75]), 16)
    theirs = rates(lambda optimizer: MultiStepLR(optimizer, [8, 11]), 16)
    assert ours == pytest.approx(theirs)


def test_constant_is_constant():
    assert rates(constant, 5) == [0.1] * 5


def test_norms_and_biases_go_without_decay_if_asked():
    net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(4, 2))
    net[3].bias.requires_grad = False  # frozen: in the groups, as it may thaw
    decayed, rest = parameter_groups(net, decay_norm_and_bias=False)
    assert {id(p) for p in decayed["params"]} == {id(net[0].weight), id(net[3].weight)}
    norm = map(id, net[1].parameters())
    assert {id(p) for p in rest["params"]} == {id(net[0].bias), id(net[3].bias), *norm}
    assert rest["weight_decay"] == 0
    (everything,) = parameter_groups(net)
    assert len(everything["params"]) == 6


def test_a_block_learns_at_the_rate_of_its_distance_from_the_head():
    net = resnet20()
    groups = layerwise_groups(net, lr=0.1, layer_decay=0.75, decay_norm_and_bias=False)
    optimizer = torch.optim.SGD(groups, lr=0.1, weight_decay=1e-4)
    scheduler = cosine(optimizer, 10)
    for _ in range(4):
        optimizer.step()
        scheduler.step()
    found = {id(p): group for group in optimizer.param_groups for p in group["params"]}
    assert len(found) == len(list(net.parameters()))
    for name, parameter in net.named_parameters():
        top, index = name.split(".")[:2]
        distance = 9 - int(index) if top == "blocks" else {"classifier": 0, "stem": 10}[top]
        rate = 0.1 * 0.75**distance * 0.5 * (1 + cos(0.4 * pi))
        assert found[id(parameter)]["lr"] == pytest.approx(rate), name
        assert found[id(parameter)]["weight_decay"] == (1e-4 if parameter.ndim > 1 else 0), name


def test_without_layer_decay_the_steps_are_those_of_one_group():
    def weights_after_steps(groups):
        torch.manual_seed(0)
        net = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2))
        optimizer = torch.optim.AdamW(groups(net), lr=0.1)
        for _ in range(3):
            optimizer.zero_grad()
            net(torch.ones(1, 3)).square().sum().backward()
            optimizer.step()
        return net.state_dict()

    one = weights_after_steps(parameter_groups)
    many = weights_after_steps(partial(layerwise_groups, lr=0.1, layer_decay=1.0))
    assert all(torch.equal(one[key], many[key]) for key in one)


@pytest.mark.parametrize("layer_decay", [0, 1.01, -0.5])
def test_layer_decay_outside_its_range_is_refused(layer_decay):
    with pytest.raises(ValueError, match=r"in \(0, 1\]"):
        layerwise_groups(nn.Sequential(nn.Linear(1, 1)), lr=0.1, layer_decay=layer_decay)


@pytest.mark.parametrize(
    ("overrides", "sentence"),
    [
        ("task=layerwise sched=onecycle", "max_lr is one learning rate for all layers"),
        ("task=layerwise task.param_groups.layer_decay=2", "task.param_groups: layer_decay is the"),
        ("optimizer.lr=-1", "optimizer: Invalid learning rate: -1"),
        ("optimizer.lr=abc", "optimizer.lr must be a number, not 'abc'"),
        ("optimizer.lr=null", "optimizer.lr must be a number, not null"),
        ("optimizer.lr=nan", "optimizer.lr must be a finite number, not nan"),
        ("optimizer.weight_decay=inf", "optimizer.weight_decay must be a finite number, not inf"),
        (
            "optimizer=adamw optimizer.betas=[0.9,nan]",
            "optimizer.betas.1 must be a finite number, not nan",
        ),
        (
            "optimizer=adamw optimizer._target_=timm.optim.Lamb optimizer.lr=abc",
            "optimizer.lr must be a number, not 'abc'",
        ),
        ("sched=multistep sched.scheduler.gamma=null", "scheduler.gamma must be a number, not"),
        ("sched=multistep sched.scheduler.gamma=-inf", "gamma must be a finite number, not -inf"),
        ("sched=multistep sched.scheduler.milestones=[0.5]", "must be a list of whole numbers"),
        ("sched=onecycle sched.scheduler.max_lr=a", "sched.scheduler.max_lr must be a number"),
        (
            "sched=onecycle +sched.scheduler.anneal_strategy=x",
            "anneal_strategy must be one of cos, linear, not 'x'",
        ),
        ("optimizer.momentum=true", "optimizer.momentum must be a number, not true"),
        (
            "optimizer.weight_decay=[1,2]",
            "optimizer.weight_decay must be a number, not [1, 2]",
        ),
        (
            "optimizer=adamw optimizer.betas=0.5",
            "optimizer.betas must be a list of 2 values",
        ),
        ("+optimizer.dampening=1 optimizer.nesterov=true", "optimizer: Nesterov momentum requires"),
        (
            "sched=multistep sched.scheduler.milestones=5",
            "milestones must be a list of whole numbers, not",
        ),
        ("sched=multistep sched.scheduler.milestones=[a]", "must be a list of whole numbers, not"),
        ("sched=multistep_shares sched.scheduler.shares=[2]", "shares are parts of the training"),
        ("sched=multistep_shares sched.scheduler.shares=0.5", "must be a list of numbers, not 0.5"),
        ("sched=warmup_cosine sched.scheduler.warmup=2", "sched.scheduler: warmup is the share"),
        ("sched=onecycle sched.scheduler.pct_start=30", "sched.scheduler: Expected float between"),
    ],
)
def test_mistakes_end_before_the_data(app, capfd, overrides, sentence):
    assert app("model=resnet20", "dataset=cifar10", *overrides.split()) == 1
    assert sentence in "".join(capfd.readouterr())
