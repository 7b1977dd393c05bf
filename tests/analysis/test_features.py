"""Ghosts whose relation to their intrinsic map is known exactly, pictures, and the script."""

import csv
import math
from pathlib import Path

import pytest
import torch
from helpers import main_of
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from torch import nn

from ghostexp.analysis.copy_fit import CopyFit, gaussian_kernel, shifted_copies
from ghostexp.analysis.features import choose_layer, ghost_maps, layer_outputs
from ghostexp.analysis.ghost_copies import Control, describe_ghosts, ghost_statistics, summarise
from ghostexp.analysis.redundancy import fit_errors, measure_redundancy
from ghostexp.layers import GhostModule
from ghostexp.layers.rep_ghost import rep_ghost


def noise(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0))


def read_lines(path: Path) -> list[str]:
    return path.read_text().splitlines()


def ghost_with(kernel: torch.Tensor, *, ratio: int = 2) -> nn.Sequential:
    """Network of one Ghost module: the image is its intrinsic map, `kernel` makes its ghosts."""
    module = GhostModule(1, ratio, 1, ratio=ratio, cheap_kernel_size=kernel.shape[-1])
    with torch.no_grad():
        module.primary_conv[0].weight.fill_(1.0)
        module.cheap_operation[0].weight.copy_(kernel.view(ratio - 1, 1, *kernel.shape[-2:]))
    return nn.Sequential(module)


def row_of(kernel: torch.Tensor, images: torch.Tensor | None = None):
    images = noise(4, 1, 12, 12) if images is None else images
    rows, control = ghost_statistics(ghost_with(kernel), ["0"], images.split(3))
    assert len(rows) == len(control) == 1
    return rows[0]


def delta(down: int, right: int, size: int = 5) -> torch.Tensor:
    """Kernel that moves a map by that many pixels."""
    kernel = torch.zeros(size, size)
    kernel[size // 2 - down, size // 2 - right] = 1.0
    return kernel


def test_a_copy_is_found():
    row = row_of(3 * delta(0, 0))
    assert row.correlation == pytest.approx(1)
    assert row.explained == pytest.approx(1)
    assert (row.down, row.right, row.sigma, row.inverted) == (0, 0, 0.0, False)
    assert row.one_sign == pytest.approx(1)


@pytest.mark.parametrize(("down", "right"), [(1, 0), (0, -2), (-2, 1), (2, 2)])
def test_a_shift_is_found(down, right):
    row = row_of(delta(down, right))
    assert row.explained == pytest.approx(1, abs=1e-5)
    assert (row.down, row.right, row.sigma) == (down, right, 0.0)
    assert abs(row.correlation) < 0.2  # of noise with itself elsewhere


def test_a_shift_moves_bright_pixels_down_and_right():
    image = torch.zeros(1, 1, 5, 5)
    image[0, 0, 1, 1] = 1.0
    moved = ghost_maps(ghost_with(delta(2, 1)), ["0"], image)["0"].ghosts
    assert moved[0, 0, 3, 2] == 1.0
    assert moved.sum() == 1.0


@pytest.mark.parametrize("sigma", [0.5, 1.0])
def test_a_blur_is_found_and_an_inverted_one(sigma):
    weights = gaussian_kernel(sigma).float()
    row = row_of(-torch.outer(weights, weights))
    assert row.explained == pytest.approx(1, abs=1e-5)
    assert (row.down, row.right, row.sigma, row.inverted) == (0, 0, sigma, True)
    assert row.correlation < 0
    assert row.one_sign == pytest.approx(1)


def test_a_difference_is_no_copy():
    kernel = torch.zeros(3, 3)
    kernel[1, 0], kernel[1, 2] = -1.0, 1.0
    row = row_of(kernel, noise(16, 1, 24, 24))
    # white noise: the ghost is the sum of two independent pixels, one of which a shift explains
    assert row.explained == pytest.approx(0.5, abs=0.03)
    assert abs(row.correlation) < 0.05
    assert row.one_sign == 0


def test_gaussian():
    weights = gaussian_kernel(1.5)
    places = torch.arange(len(weights)) - len(weights) // 2
    assert weights.sum() == pytest.approx(1)
    assert float((weights * places**2).sum()) == pytest.approx(1.5**2, rel=0.02)
    assert gaussian_kernel(0.0).tolist() == [1.0]


def test_copies_are_those_of_one_padded_convolution():
    maps, weights = noise(2, 3, 6, 7), gaussian_kernel(1.0).float()
    expected = nn.functional.conv2d(
        maps.flatten(0, 1)[:, None], torch.outer(weights, weights)[None, None], padding="same"
    )
    copies = shifted_copies(maps, 1.0)[:, 12]  # the unmoved one of 5 x 5
    torch.testing.assert_close(copies.view(3, 2, 6, 7).transpose(0, 1), expected.view(2, 3, 6, 7))


def test_batches_do_not_matter():
    images = noise(10, 1, 9, 9)
    net = ghost_with(noise(1, 3, 3))
    (one,), _ = ghost_statistics(net, ["0"], [images])
    (two,), _ = ghost_statistics(net, ["0"], images.split(3))
    assert one.explained == pytest.approx(two.explained, rel=1e-4)
    assert one.correlation == pytest.approx(two.correlation, rel=1e-4)


def test_ghosts_of_a_cut_module_keep_their_intrinsic_map():
    net = nn.Sequential(GhostModule(3, 16, 3, ratio=10))  # 2 intrinsic maps, 9 ghosts each, cut
    rows, _ = ghost_statistics(net, ["0"], [noise(2, 3, 8, 8)])
    assert [row.intrinsic for row in rows] == [0] * 9 + [1] * 5
    maps = ghost_maps(net, ["0"], noise(2, 3, 8, 8))["0"]
    assert (maps.intrinsic.shape[1], maps.ghosts.shape[1], maps.each) == (2, 14, 9)
    stacked = torch.stack([maps.intrinsic[:, 1].flatten(), maps.ghosts[:, 9].flatten()])
    fit = CopyFit()
    fit.update(maps, [maps.ghosts])
    row = describe_ghosts("0", maps.kernels, fit.correlations())[9]
    assert row.correlation == pytest.approx(float(torch.corrcoef(stacked)[0, 1]), abs=1e-4)


def test_a_dead_ghost_has_no_numbers_and_is_counted():
    row = row_of(torch.zeros(3, 3))
    assert math.isnan(row.explained)
    summary = summarise("0", [row, row_of(delta(0, 0))])
    assert (summary.ghosts, summary.dead, summary.good_copies) == (2, 1, 1.0)


def test_dead_ghosts_that_are_constant_but_not_zero_are_counted():
    """A bias alone, one that a rectifier saturates at, and one beside which rounding varies."""
    net = ghost_with(torch.zeros(3, 3, 3), ratio=4)
    conv = net[0].cheap_operation[0]
    conv.bias = nn.Parameter(torch.tensor([0.3, 5.0, 1e3]))
    conv.weight.data[1, 0, 1, 1] = 9.0
    conv.weight.data[2, 0, 1, 1] = 1e-4  # the last digit of 1000
    net[0].cheap_operation.append(nn.Hardtanh(0, 1e3))
    rows, _ = ghost_statistics(net, ["0"], noise(64, 1, 16, 16).abs().split(7))
    summary = summarise("0", rows)
    assert [math.isnan(row.explained) for row in rows] == [True, False, True]
    assert (summary.ghosts, summary.dead) == (3, 2)


@pytest.mark.parametrize("norm", [None, nn.BatchNorm2d])
@pytest.mark.parametrize("activation", [None, nn.ReLU, nn.SiLU])
@pytest.mark.parametrize("ratio", [2, 3])
def test_control_with_the_kernels_of_the_ghosts_gives_their_numbers(norm, activation, ratio):
    """What a control measures is the kernels: everything else is as the ghosts have it."""
    module = GhostModule(3, 11, 3, ratio=ratio, norm_layer=norm, activation_layer=activation)
    net, images = nn.Sequential(module), noise(12, 3, 10, 10)
    with torch.no_grad():
        conv = module.cheap_operation[0]
        conv.weight[:, 0] = Control(ghost_maps(net, ["0"], images)["0"]).kernels
        if norm is not None:
            last = module.cheap_operation[1]
            last.weight.copy_(torch.linspace(-1, 2, len(last.weight)) + 0.05)
            last.bias.copy_(noise(len(last.bias)))
            last.running_mean.copy_(noise(len(last.bias)) / 3)
    rows, control = ghost_statistics(net, ["0"], images.split(5))
    assert len(rows) == len(control)
    assert len({round(row.explained, 3) for row in rows}) > 3
    for row, other in zip(rows, control, strict=True):
        assert other.explained == pytest.approx(row.explained, rel=1e-4, nan_ok=True)
        assert other.correlation == pytest.approx(row.correlation, rel=1e-3, abs=1e-5, nan_ok=True)
        assert (other.inverted, other.down, other.sigma) == (row.inverted, row.down, row.sigma)


def test_a_control_with_an_activation_explains_as_much_as_random_ghosts_do():
    """Random ghosts under a rectifier, and no activation in the control, differed by a quarter."""
    torch.manual_seed(1)
    module = GhostModule(1, 200, 3, norm_layer=nn.BatchNorm2d, activation_layer=nn.ReLU)
    nn.init.normal_(module.cheap_operation[0].weight)
    net, images = nn.Sequential(module), noise(16, 1, 12, 12)
    net.train()(images)  # statistics of the norms
    rows, control = ghost_statistics(net, ["0"], images.split(8))
    found, beside = summarise("", rows), summarise("", control)
    assert beside.explained == pytest.approx(found.explained, abs=0.03)


def test_summary_of_known_ghosts():
    rows = [row_of(delta(0, 0)), row_of(-delta(1, 0))]
    summary = summarise("both", rows)
    assert summary.layer == "both"
    assert summary.explained == pytest.approx(1, abs=1e-5)
    assert (summary.moved, summary.inverted, summary.sigma) == (0.5, 0.5, 0.0)


def test_network_is_left_as_it_was():
    net = nn.Sequential(GhostModule(3, 8, 3, norm_layer=nn.BatchNorm2d)).train()
    before = {key: value.clone() for key, value in net.state_dict().items()}
    ghost_maps(net, ["0"], noise(2, 3, 8, 8))
    torch.testing.assert_close(dict(net.state_dict()), before)
    assert all(module.training for module in net.modules())
    assert not any(module._forward_hooks for module in net.modules())
    assert torch.is_grad_enabled()


def test_outputs_are_kept_from_layers_that_work_in_place():
    net = nn.Sequential(nn.Conv2d(1, 2, 1), nn.ReLU(inplace=True))
    maps = layer_outputs(net, ["0"], noise(1, 1, 6, 6))["0"]
    assert (maps < 0).any()


def test_choice_of_a_layer():
    net = ghost_with(delta(0, 0))
    assert choose_layer(net, None) == "0"
    with pytest.raises(ValueError, match="layer '1' is not one of the network's 1 Ghost modules"):
        choose_layer(net, "1")
    with pytest.raises(ValueError, match="no Ghost module"):
        choose_layer(nn.Linear(1, 1), None)


def test_branches_must_be_fused_first():
    with pytest.raises(ValueError, match="fuse its branches"):
        ghost_maps(nn.Sequential(rep_ghost(3, 8)), ["0"], noise(1, 3, 8, 8))


def test_errors_of_known_maps():
    first = noise(8, 12, 12)
    padded = nn.functional.pad(first, [2] * 4)
    near, far = padded[:, 1:13, 2:14], padded[:, 2:14, 0:12]  # moved by 1 down, by 2 right
    other = noise(9, 8, 12, 12)[8]
    maps = torch.stack([first, near, far, other], dim=1).double()
    maps = maps - maps.mean((0, 2, 3), keepdim=True)
    maps = maps / maps.std((0, 2, 3), correction=0, keepdim=True)
    errors = fit_errors(maps)  # of kernels 1, 3, 5, 7
    assert errors[:, 0, 1].tolist() == pytest.approx([1, 0, 0, 0], abs=0.05)
    assert errors[:, 0, 2].tolist() == pytest.approx([1, 1, 0, 0], abs=0.05)
    assert all(errors[:, 0, 3] > 0.9)  # other noise: nothing but chance
    assert torch.isinf(errors[:, 2, 2]).all()
    assert (errors[1:] <= errors[:-1] + 1e-9).all()  # a larger kernel can do what a smaller one can


def test_redundancy_of_a_layer_whose_maps_are_multiples():
    conv = nn.Conv2d(1, 3, 1)
    with torch.no_grad():
        conv.weight.copy_(torch.tensor([1.0, -2.0, 0.0]).view(3, 1, 1, 1))
    row = measure_redundancy(nn.Sequential(conv), "0", noise(4, 1, 8, 8).split(2))
    assert (row.maps, row.dead) == (3, 1)  # the third never varies
    assert row.errors[1] == pytest.approx(0, abs=1e-6)
    assert row.redundant[1] == 1.0


def test_training_logs_pictures_and_the_script_reads_the_run(small_run, monkeypatch, capsys):
    folder = small_run(
        "model=converted",
        "model.net._target_=ghostexp.models.resnet20",
        "+model.net.in_channels=${dataset.in_channels}",
        "callbacks=features",
        "callbacks.progress=null",
        "callbacks.summary=null",
    )
    events = EventAccumulator(str(folder / "tensorboard"), size_guidance={"images": 0})
    events.Reload()
    (tag,) = (tag for tag in events.Tags()["images"] if tag.startswith("features/"))
    assert [event.step for event in events.Images(tag)] == [1, 3]  # two batches per epoch

    def call(*arguments: str) -> int:
        monkeypatch.setattr("sys.argv", ["features.py", str(folder), *arguments])
        return main_of("features")()

    assert call("--index", "12", "--layer", "blocks.0.conv1") == 0
    rows = list(csv.DictReader(read_lines(folder / "features" / "blocks.0.conv1_test_12.csv")))
    assert [row["intrinsic"] for row in rows] == [str(index) for index in range(8)]
    assert (folder / "features" / "blocks.0.conv1_test_12.png").stat().st_size > 10_000
    assert call("--statistics", "--images", "8") == 0
    layers = list(csv.DictReader(read_lines(folder / "features" / "layers.csv")))
    assert len(layers) == 20 + 2  # and all ghosts, and the control
    assert all(0 <= float(row["explained"]) <= 1 for row in layers)
    control = list(csv.DictReader(read_lines(folder / "features" / "control.csv")))
    assert [row["layer"] for row in control] == [row["layer"] for row in layers[:-2]]
    alive = [int(row["ghosts"]) - int(row["dead"]) for row in control]
    total = sum(n * float(row["explained"]) for n, row in zip(alive, control, strict=True))
    assert total / sum(alive) == pytest.approx(float(layers[-1]["explained"]))
    assert (folder / "features" / "copies.png").stat().st_size > 10_000
    assert call("--redundancy", "--layer", "blocks.0.conv1.primary_conv.0", "--images", "8") == 0
    capsys.readouterr()
    assert call("--index", "12", "--layer", "nowhere") == 1
    assert "features: layer 'nowhere' is not one of" in capsys.readouterr().err
