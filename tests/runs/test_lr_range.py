"""The range test: its curve, its suggestion, what the optimizer is given, and the command."""

import csv
from math import exp, log

import pytest
import torch
from helpers import ROOT, main_of
from PIL import Image
from simple_task import Fixed, make_task, trainer
from torch.utils.data import DataLoader, TensorDataset

from ghostexp.runs.lr_range import smoothed, steepest
from ghostexp.training.callbacks.rising_rate import RisingRate

RATES = torch.logspace(-5, 1, 151).tolist()


def curve(middle, noise=0.0):
    """Falls from 2.3 to 0.3, fastest at `middle`, and explodes at a hundred times that."""
    generator = torch.Generator().manual_seed(0)
    scatter = (noise * torch.randn(len(RATES), generator=generator)).tolist()
    return [
        2.3 - 2 / (1 + (middle / rate) ** 1.5) + (rate / middle / 100) ** 3 + each
        for rate, each in zip(RATES, scatter, strict=True)
    ]


@pytest.mark.parametrize("middle", [1e-3, 0.02])
def test_the_suggestion_is_where_the_loss_falls_fastest(middle):
    assert steepest(RATES, curve(middle)) == pytest.approx(middle, rel=0.1)
    noisy = smoothed(curve(middle, noise=0.2))
    assert abs(log(steepest(RATES, noisy) / middle)) < log(3)


def test_a_loss_that_only_rises_has_no_suggestion():
    assert steepest(RATES, [1 + rate for rate in RATES]) is None


def test_smoothing_moves_a_line_to_neither_side():
    line = [0.1 * step for step in range(100)]
    assert smoothed(line)[10:90] == pytest.approx(line[10:90])


class Watch(RisingRate):
    """Notes the rates of the groups in each step."""

    def __init__(self, rates):
        super().__init__(rates)
        self.seen = []

    def on_before_optimizer_step(self, trainer, pl_module, optimizer):
        self.seen.append([group["lr"] for group in optimizer.param_groups])


def groups_of(net):
    """Two groups, one with a tenth of the optimizer's rate of 0.1."""
    return [{"params": [net.shift]}, {"params": [torch.nn.Parameter(torch.zeros(1))], "lr": 0.01}]


def test_groups_keep_their_ratio_and_batches_are_accumulated(tmp_path):
    images, labels = torch.randn(8, 3, 2, 2), torch.arange(8) % 3
    loader = DataLoader(TensorDataset(images, labels), batch_size=2)
    task = make_task(Fixed())
    task.param_groups = groups_of
    rates = [1e-3, 1e-2, 1e-1]
    rising = Watch(rates)
    options = {"max_epochs": 9, "accumulate_grad_batches": 2, "limit_val_batches": 0}
    trainer(tmp_path, callbacks=[rising], **options).fit(task, loader, loader)
    assert rising.seen == [pytest.approx([rate, rate / 10]) for rate in rates]
    logits = images[:, :, 0, 0]
    first = [task.loss(logits[start : start + 2], labels[start : start + 2]) for start in (0, 2)]
    assert rising.losses[0] == pytest.approx(sum(first).item() / 2, rel=1e-5)


def test_it_stops_where_the_loss_diverges(tmp_path):
    images, labels = torch.randn(8, 3, 2, 2), torch.arange(8) % 3
    loader = DataLoader(TensorDataset(images, labels), batch_size=8)
    task = make_task(Fixed(), loss=Exploding())
    rising = RisingRate([0.1] * 100)
    trainer(tmp_path, callbacks=[rising], max_epochs=200, limit_val_batches=0).fit(
        task, loader, loader
    )
    assert 5 < len(rising.losses) < 60


class Exploding(torch.nn.Module):
    """A loss that grows by a tenth per step."""

    def __init__(self):
        super().__init__()
        self.steps = 0

    def forward(self, logits, targets):
        self.steps += 1
        return logits.mean() * 0 + exp(0.1 * self.steps)


LINEAR = (
    "model._args_=[{_target_:torch.nn.Flatten},"
    "{_target_:torch.nn.Linear,in_features:64,out_features:10}]"
)


def test_the_command_suggests_a_rate_and_draws_it(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    words = ["model=linear", LINEAR, "dataset.image_size=8", "dataset.augment.crop_padding=0"]
    assert main_of("lr_range")([*words, "--steps", "120", "sched=onecycle"]) == 0
    said = capsys.readouterr().out
    table = (tmp_path / "outputs/lr_range/lr_range.csv").read_text()
    rows = list(csv.DictReader(table.splitlines()))
    rates, losses = ([float(row[key]) for row in rows] for key in ("learning_rate", "loss"))
    assert rates[0] == pytest.approx(1e-5)
    assert losses[0] == pytest.approx(log(10), abs=0.5)
    suggested = float(said.rpartition("optimizer.lr=")[2])
    assert 1e-3 < suggested < 1
    assert min(losses) < losses[0] - 0.5
    with Image.open(tmp_path / "outputs/lr_range/lr_range.png") as picture:
        assert picture.size == (840, 504)
    assert {path.name for path in tmp_path.rglob("*")} == {
        *("outputs", "lr_range", "lr_range.csv", "lr_range.png"),
    }


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--low", "1", "--high", "0.1"], "above 0 and below the highest: 1.0, 0.1"),
        (["--steps", "3"], "at least 20 steps, not 3"),
        (["optimizer.lrr=1"], "did you mean"),
    ],
)
def test_other_words_are_refused(monkeypatch, capsys, tmp_path, words, sentence):
    monkeypatch.chdir(tmp_path)
    assert main_of("lr_range")(words) == 1
    assert sentence in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_the_script_is_the_command():
    assert "from ghostexp.commands.lr_range import main" in (
        (ROOT / "scripts" / "lr_range.py").read_text()
    )
