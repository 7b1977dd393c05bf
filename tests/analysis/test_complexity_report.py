"""Totals against FIGURES' integers, memory against closed formulas, printed figures against all."""

import csv
import json

import pytest
import torch
from helpers import main_of
from rich.console import Console
from torch import nn

from ghostexp.analysis.complexity import count_macs, count_params, count_thop
from ghostexp.analysis.complexity_report import as_json, describe_network, layer_rows
from ghostexp.analysis.complexity_tables import layers_table, published_table, totals_table
from ghostexp.analysis.memory import activation_bytes, model_bytes
from ghostexp.analysis.published_costs import (
    PUBLISHED_COSTS,
    agrees,
    find_published_costs,
    printed_value,
)
from ghostexp.config.build import build_network
from ghostexp.config.cli import compose_config
from ghostexp.layers import GhostModule
from ghostexp.models import ghost_resnet56

IMAGE = (3, 32, 32)
FLOAT = 4  # bytes


@pytest.fixture(scope="module")
def ghost():
    return describe_network(ghost_resnet56(ratio=2), IMAGE)


@pytest.fixture(scope="module")
def dense():
    return describe_network(ghost_resnet56(ratio=1), IMAGE)


def test_totals_are_the_known_integers(ghost, dense):
    assert (ghost.params, ghost.macs, ghost.thop) == (439_914, 65_325_696, 67_504_768)
    assert (dense.params, dense.macs, dense.thop) == (855_770, 125_747_840, 127_926_912)


def test_layers_add_up_and_a_ghost_module_is_one_row(ghost):
    assert sum(layer.params for layer in ghost.layers) == ghost.params
    ghosts = [layer for layer in ghost.layers if layer.type == "GhostModule"]
    assert len(ghosts) == 57
    assert ghosts[0].name == "stem.0"
    assert ghosts[0].out_shape == (16, 32, 32)
    assert ghosts[0].params == 8 * 3 * 9 + 8 * 9
    assert ghosts[0].cheap_macs == 8 * 9 * 32 * 32


def test_ghost_module_that_is_the_network_and_cuts_its_tail():
    cost = describe_network(GhostModule(3, 16, 3, ratio=10, norm_layer=nn.BatchNorm2d), IMAGE)
    (layer,) = cost.layers
    assert (layer.name, layer.out_shape) == ("", (16, 32, 32))
    assert layer.params == 2 * 27 + 18 * 9 + 2 * (2 + 18)
    assert layer.cheap_macs == 18 * 9 * 32 * 32
    assert layer.thop == layer.macs + 4 * 20 * 32 * 32


def test_frozen_parameters_are_told_apart():
    net = nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 2))
    net[0].requires_grad_(False)
    cost = describe_network(net, (3,))
    assert (cost.params, cost.trainable, cost.frozen) == (26, 10, 16)
    assert [layer.frozen for layer in cost.layers] == [16, 0]


def test_model_size_is_that_of_the_state():
    net = nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8))
    floats = 3 * 8 * 9 + 8 + 4 * 8  # weights, bias; weight, bias, running mean and variance
    assert model_bytes(net) == FLOAT * floats + 8  # batches seen: int64


def test_activations_that_backward_needs():
    pixels = 5 * 7
    net = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.ReLU())  # its input and its output
    assert activation_bytes(net, (3, 5, 7)) == FLOAT * pixels * (3 + 8)
    net = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(inplace=True))
    assert activation_bytes(net, (3, 5, 7)) == FLOAT * pixels * (3 + 8 + 8)
    net[0].requires_grad_(False)
    net[1].requires_grad_(False)
    assert activation_bytes(net, (3, 5, 7)) == 0


def test_network_is_left_as_it_was():
    net = nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8))
    before = {key: value.clone() for key, value in net.state_dict().items()}
    describe_network(net.eval(), (3, 5, 5))
    torch.testing.assert_close(dict(net.state_dict()), before)
    assert not any(module.training for module in net.modules())


def test_tables_and_files_hold_the_factors(ghost, dense):
    published = find_published_costs(
        "ghost_resnet56",
        {"num_classes": 10, "ratio": 2, "cheap_kernel_size": 3, "shortcut": "B"},
        (3, 32, 32),
    )
    assert {figure.source for figure in published} == {"GhostNet paper", "report"}
    console = Console(width=200, record=True, file=None)
    with console.capture() as capture:
        console.print(layers_table(ghost, dense))
        console.print(totals_table(ghost, dense, "title"))
        console.print(published_table(ghost, published))
    text = capture.get()
    assert "67,504,768" in text
    assert "1.90" in text  # the report's factors
    assert "1.95" in text
    assert "nothing gives 63M" in text
    row = layer_rows(ghost, dense)[2]
    assert (row["name"], row["params"], row["dense_params"]) == ("blocks.0.conv1", 1_224, 2_304)
    data = as_json(ghost, dense, published)
    assert data["times_fewer"]["macs"] == pytest.approx(125_747_840 / 65_325_696)
    assert "frozen" not in data["times_fewer"]


@pytest.mark.parametrize(
    ("printed", "count", "expected"),
    [
        ("67.50M", 67_504_768, True),
        ("0.43M", 439_914, False),  # cut off, not rounded
        ("0.44M", 439_914, True),
        ("0.4M", 439_914, True),
        ("8.9M", 8_960_404, False),
        ("9.0M", 8_960_404, True),
        ("2.5K", 2_450, True),  # a half is rounded up
        ("2.4K", 2_450, False),
        ("63M", 65_325_696, False),
        ("226M", 227_003_256, False),
        ("2.2B", 2_151_023_360, True),
        ("167M", 166_200_000, False),
    ],
)
def test_printed_digits(printed, count, expected):
    assert agrees(printed, count) is expected


def test_value_of_a_printed_figure():
    assert printed_value("2.2B") == pytest.approx((2.2e9, 1e8))
    assert printed_value("14.991M") == pytest.approx((14.991e6, 1e3))


def counts(net: nn.Module, shape: tuple[int, ...]) -> dict[str, int]:
    return {
        "params": count_params(net),
        "macs": count_macs(net, shape),
        "thop": count_thop(net, shape),
    }


@pytest.mark.parametrize(
    "published",
    PUBLISHED_COSTS,
    ids=lambda p: f"{p.factory}-{p.compute}-{p.source}-{list(p.settings.values())}",
)
def test_every_printed_figure_is_met_or_explained(published):
    settings = [f"model.{key}={value}" for key, value in published.settings.items()]
    dataset = [
        "dataset=cifar10",
        f"dataset.image_size={published.image_size}",
        f"dataset.num_classes={published.num_classes or 1000}",
    ]
    cfg = compose_config([f"model={published.factory}", *dataset, *settings])
    assert cfg.model._target_.endswith(f".{published.factory}")
    net = build_network(cfg)
    if published.num_classes is None:
        net = net.trunk()
    side = published.image_size
    counted = counts(net, (3, side, side))
    met = published.params is None or agrees(published.params, counted["params"])
    met = met and agrees(published.compute, counted[published.convention])
    assert met == (not published.remark)


@pytest.fixture
def script(monkeypatch, capsys):
    """Call scripts/complexity.py; returns the exit code, stdout and stderr."""

    def call(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr("sys.argv", ["complexity.py", *arguments])
        code = main_of("complexity")()
        return code, *capsys.readouterr()

    return call


def test_script_as_json_and_csv(script):
    code, out, _ = script("model=ghost_resnet56", "--json", "model.ratio=4")
    data = json.loads(out)
    assert code == 0
    assert (data["network"]["params"], data["network"]["macs"]) == (231_986, 35_114_624)
    assert data["dense_twin"]["params"] == 855_770
    rows = list(csv.DictReader(script("model=resnet20", "--csv")[1].splitlines()))
    assert sum(int(row["params"]) for row in rows) == 272_474
    assert all(row["dense_macs"] == "" for row in rows)  # no ratio, no twin


def test_script_tells_a_detectors_parts_and_its_backbone(script):
    small = ["model.min_size=64", "model.max_size=64"]
    code, out, _ = script("model=retinanet_ghostnet", *small)
    assert code == 0
    assert all(part in out for part in ("backbone", "neck: feature pyramid", "head: classes"))
    assert "155,248,240" in out
    assert "164,355,184" in out  # what the paper's 164M is
    narrow = "model.backbone.width_mult=1.0"
    out = script("model=retinanet_ghostnet", *small, narrow)[1]
    assert "149.31M" in out
    assert "1,055,832" in out


def test_script_says_exact_for_nothing_but_the_rounded_digits(script):
    lines = script("model=ghost_resnet56")[1].splitlines()
    (paper,) = [line for line in lines if "0.43M │" in line]
    (report,) = [line for line in lines if "0.44M │" in line]
    assert "439,914" in paper
    assert "+2.3%" in paper
    assert "exact" not in paper
    assert "439,914" in report
    assert "exact" in report


def test_script_prints_the_plan(script):
    larger = "model.image_size=64"  # at CIFAR-10's 32 pixels the last maps are too small
    code, out, _ = script("model=converted", "model.skip=[conv1]", larger, "--plan")
    assert code == 0
    assert "19 of 20 convolutions replaced" in out
    assert "named in skip" in out


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["model=resnet20", "--plan"], "choose a model with a ratio above 1"),
        (["model=converted", "dataset=digits"], "model: the network cannot take an input of 1x32"),
        (["model=converted", "model.net._target_=torchvision.models.resnet81"], "has no resnet81"),
        (["model.ratoi=3"], "ratoi"),
    ],
)
def test_script_answers_a_slip_with_one_sentence(script, arguments, sentence):
    code, _, err = script(*arguments)
    assert code == 1
    assert sentence in err
    assert err.count("\n") == 1
