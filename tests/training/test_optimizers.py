"""Every optimizer of conf/optimizer learns, with the values of its file."""

import sys

import pytest
import torch
from helpers import ROOT, SMALL
from torch import nn

from ghostexp.config.audit import audit
from ghostexp.config.build import build
from ghostexp.config.cli import compose_config
from ghostexp.config.explain import UserError
from ghostexp.tasks import optimisation
from ghostexp.tasks.classification import ClassificationTask
from ghostexp.training.optim import constant, parameter_groups

CHOICES = sorted(path.stem for path in (ROOT / "conf" / "optimizer").glob("*.yaml"))
STEPS = 60


def network():
    """Every kind of parameter: convolutions, also depthwise, norms, a matrix and a bias."""
    torch.manual_seed(0)
    return nn.Sequential(
        *(nn.Conv2d(2, 8, 3), nn.BatchNorm2d(8), nn.ReLU()),
        *(nn.Conv2d(8, 8, 3, groups=8), nn.BatchNorm2d(8), nn.ReLU()),
        *(nn.Flatten(), nn.Linear(32, 4)),
    )


@pytest.mark.parametrize("choice", CHOICES)
def test_every_choice_learns_a_batch_by_heart(choice):
    cfg = compose_config([*SMALL, f"optimizer={choice}"])
    cfg.run_dir = "run"
    audit(cfg, [ROOT / "conf"])
    task = ClassificationTask(
        network(),
        num_classes=4,
        loss=nn.CrossEntropyLoss(),
        optimizer=build(cfg.optimizer, "optimizer"),
        sched={"scheduler": constant, "interval": "epoch", "frequency": 1},
        param_groups=parameter_groups,
    )
    task.check_optimisation()
    optimizer, _ = optimisation.build(task, STEPS)
    images, labels = torch.randn(8, 2, 6, 6), torch.arange(8) % 4
    losses = []
    for _ in range(STEPS):
        loss = task.loss(task(images), labels)
        losses.append(loss.item())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert losses[-1] < 0.95 * losses[0]  # Lion moves a weight by 1e-4 per step
    moved = [
        not torch.equal(*pair)
        for pair in zip(network().parameters(), task.net.parameters(), strict=True)
    ]
    assert sum(moved) >= len(moved) - 2  # biases before a norm have no gradient


def test_help_names_every_choice(app, capsys):
    assert app("--help") in (0, None)
    group = capsys.readouterr().out.partition("\noptimizer=\n")[2].partition("\n\n")[0]
    assert [line.split()[0] for line in group.splitlines()] == list(CHOICES)
    assert {"adam", "adamw", "lion", "muon", "sgd"} <= set(CHOICES)


def test_without_timm_a_sentence_names_the_extra(monkeypatch):
    """Python answers an import of a module that is None in sys.modules as if it were missing."""
    for name in [each for each in sys.modules if each.split(".")[0] == "timm"]:
        monkeypatch.setitem(sys.modules, name, None)
    cfg = compose_config([*SMALL, "optimizer=lion"])
    cfg.run_dir = "run"
    with pytest.raises(UserError, match=r"package timm, .* pip install 'ghostexp\[timm\]'"):
        audit(cfg, [ROOT / "conf"])
