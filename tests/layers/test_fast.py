"""Our kernels train the layers for which they are faster, and a sentence says how many."""

import copy

import pytest
import torch
from torch import nn
from torch.nn.functional import cross_entropy

from ghostexp.layers import GhostModule, fast_ghost, fast_norm
from ghostexp.layers.fast import FastLayers


@pytest.fixture(autouse=True)
def own_cache(monkeypatch, tmp_path):
    """Nothing is known of this machine, but libraries are compiled once."""
    monkeypatch.setattr("ghostexp.kernels.decisions.cache_folder", lambda: tmp_path)


def net() -> nn.Module:
    torch.manual_seed(0)
    layers = [
        GhostModule(3, 16, 3),
        nn.BatchNorm2d(16),
        nn.ReLU(),
        GhostModule(16, 32, 3, stride=2),
        nn.BatchNorm2d(32),
        GhostModule(32, 32, ratio=1),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.BatchNorm1d(32),
    ]
    return nn.Sequential(*layers).to(memory_format=torch.channels_last)


def verdicts(monkeypatch, *, norm: bool, ghost: bool) -> list[str]:
    """Measurements with these outcomes; returns the list of what was measured."""
    measured = []

    def outcome(name: str, is_ours: bool):
        def time_both(*_: object) -> tuple[float, float]:
            measured.append(name)
            return (1.0, 2.0) if is_ours else (2.0, 1.0)

        return time_both

    monkeypatch.setattr(fast_norm, "time_both", outcome("norm", norm))
    monkeypatch.setattr(fast_ghost, "time_both", outcome("ghost", ghost))
    return measured


@pytest.mark.parametrize(
    ("norm", "ghost", "count"),
    [(True, True, 4), (True, False, 2), (False, True, 2), (False, False, 0)],
)
def test_what_is_not_faster_is_torchs_and_both_are_counted(monkeypatch, norm, ghost, count):
    verdicts(monkeypatch, norm=norm, ghost=ghost)
    images = torch.randn(16, 3, 16, 16).to(memory_format=torch.channels_last)
    stock = net()
    fast, change = copy.deepcopy(stock), FastLayers()
    change(fast)
    outputs, expected = fast(images), stock(images)
    torch.testing.assert_close(outputs, expected, rtol=1e-4, atol=1e-5)
    assert [fast[index].is_ours for index in (0, 1, 3, 4)] == [ghost, norm, ghost, norm]
    assert change.describe(fast) == (
        f"our kernels compute {count} of 5 batch norms and Ghost modules in training, and torch's"
        f" operators compute {5 - count}"
    )


def test_a_kind_is_measured_once_in_a_network(monkeypatch):
    measured = verdicts(monkeypatch, norm=True, ghost=True)
    net = nn.Sequential(*[nn.BatchNorm2d(8) for _ in range(5)])
    FastLayers()(net)
    for size in (32, 31, 16):  # 31 is so near to 32 that nobody measures it
        net(torch.randn(8, 8, size, size).to(memory_format=torch.channels_last))
    assert measured == ["norm", "norm"]


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_real_measurements_are_times_of_both(dtype):
    for times in (
        fast_norm._time(8, 4096, dtype),
        fast_ghost._time((2, 4, 8, 8), (8, 1, 3, 3), 11, dtype),
    ):
        assert all(0 < seconds < 60 for seconds in times)


def test_kinds_name_what_the_time_depends_on(monkeypatch, tmp_path):
    verdicts(monkeypatch, norm=True, ghost=True)
    layers = nn.Sequential(GhostModule(3, 24, 3, ratio=4, cheap_kernel_size=5), nn.BatchNorm2d(24))
    fast = FastLayers()(layers.to(memory_format=torch.channels_last), tmp_path / "run")
    (tmp_path / "run").mkdir()
    images = torch.randn(60, 3, 14, 12).to(memory_format=torch.channels_last)
    with torch.autocast("cpu", torch.bfloat16):
        fast(images)
    assert list(fast[1].decisions.known) == [
        "Ghost module, 6 -> 24 maps, (18, 1, 5, 5), 64 x 16 x 16, bfloat16",  # 14 and 12 pixels
        "batch norm, 24 channels, 8192 pixels, bfloat16",  # 60 * 14 * 12 = 10,080
    ]
    assert fast[0].decisions is fast[1].decisions
    assert len((tmp_path / "run" / "kernels.jsonl").read_text().splitlines()) == 2


def test_under_torch_compile_all_is_torchs(monkeypatch):
    measured = verdicts(monkeypatch, norm=True, ghost=True)
    images = torch.randn(16, 3, 16, 16).to(memory_format=torch.channels_last)
    stock = net()
    fast, change = copy.deepcopy(stock), FastLayers()
    change(fast)
    compiled = torch.compile(fast, backend="eager", fullgraph=True)
    assert torch.equal(compiled(images), stock(images))
    assert change.count(fast) == (0, 5)
    assert not measured


def small_net() -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1, bias=False),
        nn.BatchNorm2d(8),
        nn.ReLU(inplace=True),
        nn.Conv2d(8, 16, 3, padding=1, bias=False),
        nn.BatchNorm2d(16),
        nn.ReLU(inplace=True),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(16, 4),
    ).to(memory_format=torch.channels_last)


@pytest.mark.parametrize("bfloat16", [False, True])
def test_training_tracks_stock(bfloat16):
    torch.manual_seed(0)
    stock = small_net()
    images, targets = torch.randn(32, 3, 16, 16), torch.arange(32) % 4
    images = images.to(memory_format=torch.channels_last)
    losses = {}
    for name, net in {
        "fast": fast_norm.use_fast_norm(copy.deepcopy(stock)),
        "stock": stock,
    }.items():
        optimizer = torch.optim.SGD(net.parameters(), lr=0.1, momentum=0.9)
        losses[name] = []
        for _ in range(8):
            with torch.autocast("cpu", torch.bfloat16, enabled=bfloat16):
                loss = cross_entropy(net(images).float(), targets)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses[name].append(loss.item())
    assert losses["fast"] == pytest.approx(losses["stock"], abs=1e-2 if bfloat16 else 1e-5)
    assert losses["fast"][-1] < losses["fast"][0]
