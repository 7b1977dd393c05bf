"""The compiled twin against eager: every structure it takes, odd batches, threads, refusals."""

import threading
from functools import partial

import pytest
import torch
from torch import nn

from ghostexp.deploy.native import native
from ghostexp.deploy.native import net as native_net
from ghostexp.kernels.compiler import machine_macros
from ghostexp.models import convert_to_ghost
from ghostexp.models.g_ghost_resnet import ghost_stage
from ghostexp.models.resnet import CifarResNet, PaddingShortcut
from ghostexp.models.vgg import VGG

try:
    AVX2 = "__AVX2__" in machine_macros()
except ValueError:
    AVX2 = False
needs_kernels = pytest.mark.skipif(not AVX2, reason="needs g++ and a CPU with AVX2")
IMAGE = (3, 16, 16)


def trained(net: nn.Module, **ghost: object) -> nn.Module:
    """`net`, converted if there is a ratio, with weights and statistics that hide no mistake."""
    torch.manual_seed(0)
    if ghost:
        convert_to_ghost(net, **ghost)
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.normal_(module.running_mean, std=0.3)
            nn.init.uniform_(module.running_var, 0.5, 2.0)
            nn.init.uniform_(module.weight, -1.5, 1.5)
            nn.init.normal_(module.bias, std=0.3)
        elif isinstance(module, nn.Conv2d | nn.Linear) and module.bias is not None:
            nn.init.normal_(module.bias, std=0.3)
    return net.eval()


def resnet8(in_channels: int = 3, **ghost: object) -> nn.Module:
    return trained(CifarResNet(1, 10, in_channels), **ghost)


def padded_resnet8(**ghost: object) -> nn.Module:
    return trained(CifarResNet(1, 10, shortcut=PaddingShortcut), **ghost)


def g_ghost_resnet26(**ghost: object) -> nn.Module:
    """Stages with two blocks on intrinsic maps."""
    stage = partial(ghost_stage, ratio=2)
    return trained(CifarResNet(4, 10, shortcut=PaddingShortcut, stage=stage), **ghost)


def small_vgg(**ghost: object) -> nn.Module:
    return trained(VGG([(8, 1), (20, 2)]), **ghost)


@torch.inference_mode()
def eager(net: nn.Module, images: torch.Tensor) -> torch.Tensor:
    return net(images)


def assert_equal_to_eager(compiled_net, net, images):
    expected = eager(net, images)
    logits = compiled_net(images)
    assert logits.shape == expected.shape
    assert (logits - expected).abs().max() <= 1e-5 * expected.abs().max()


@pytest.fixture(scope="module")
def ghost_twins():
    """A small Ghost-ResNet and its compiled twin, for tests of its behaviour."""
    net = resnet8(ratio=2)
    return net, native(net, IMAGE)


@pytest.fixture
def threads():
    before = torch.get_num_threads()
    yield torch.set_num_threads
    torch.set_num_threads(before)


@needs_kernels
@pytest.mark.parametrize(
    ("make", "ghost", "image"),
    [
        (resnet8, {}, IMAGE),
        (padded_resnet8, {"ratio": 3, "cheap_kernel_size": 5}, IMAGE),
        (resnet8, {"ratio": 4, "inner_norm": True}, (3, 13, 10)),
        (resnet8, {"ratio": 10, "cheap_kernel_size": 1, "in_channels": 1}, (1, 12, 12)),
        (padded_resnet8, {"ratio": 5, "cheap_kernel_size": 7, "inner_norm": True}, (3, 8, 8)),
        (small_vgg, {}, (3, 9, 12)),
        (small_vgg, {"ratio": 2, "skip": ["features.0"]}, (3, 8, 4)),
        # slices, concatenations, a sum with one pixel
        (g_ghost_resnet26, {"ratio": 2, "only": ["blocks.1.first.conv2"]}, (3, 12, 8)),
    ],
)
def test_equal_to_eager(make, ghost, image):
    net = make(**ghost)
    assert_equal_to_eager(native(net, image), net, torch.randn(17, *image))


@needs_kernels
@pytest.mark.parametrize("batch", [0, 1, 15, 16, 33])
def test_any_batch(batch, ghost_twins):
    net, compiled_net = ghost_twins
    images = torch.randn(batch, *IMAGE)
    if batch:
        assert_equal_to_eager(compiled_net, net, images)
    assert compiled_net(images).shape == (batch, 10)


@needs_kernels
def test_two_networks_in_four_threads_of_their_own(ghost_twins, threads):
    net = resnet8()
    pairs = [ghost_twins, (net, native(net, IMAGE))]
    jobs = [(*pairs[index % 2], torch.randn(33 + index, *IMAGE)) for index in range(4)]
    threads(1)
    alone = [compiled_net(images) for _, compiled_net, images in jobs]
    differences = []

    def work(index: int, count: int) -> None:
        threads(count)
        _, compiled_net, images = jobs[index]
        for _ in range(5):
            differences.append((compiled_net(images) - alone[index]).abs().max().item())

    workers = [
        threading.Thread(target=work, args=(index, count)) for index, count in enumerate([1, 2] * 2)
    ]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert differences == [0.0] * 20  # bits depend on no thread
    for net, compiled_net, images in jobs:
        assert_equal_to_eager(compiled_net, net, images)


@needs_kernels
def test_memory_is_used_again(ghost_twins, threads):
    net, _ = ghost_twins
    compiled_net = native(net, IMAGE)
    threads(2)
    for batch in (64, 1, 33, 64):
        compiled_net(torch.randn(batch, *IMAGE))
    assert len(compiled_net._free_workspaces) == 2


@needs_kernels
def test_images_stay_and_layouts_and_gradients_do_not_matter(ghost_twins):
    _, compiled_net = ghost_twins
    images = torch.randn(17, *IMAGE)
    before, expected = images.clone(), compiled_net(images)
    channels_last = images.contiguous(memory_format=torch.channels_last).requires_grad_()
    assert torch.equal(compiled_net(channels_last), expected)
    assert torch.equal(compiled_net(images[3:5]), expected[3:5])
    assert torch.equal(images, before)


@needs_kernels
def test_not_a_number_stays_in_its_image():
    net = small_vgg()
    images = torch.randn(17, *IMAGE)
    images[4, 0, 3, 3] = float("nan")
    logits = native(net, IMAGE)(images)
    assert logits.isnan().any(dim=1).nonzero().flatten().tolist() == [4]
    assert torch.equal(logits.isnan(), eager(net, images).isnan())


@needs_kernels
def test_weights_are_copied(ghost_twins):
    net, _ = ghost_twins
    state = {name: value.clone() for name, value in net.state_dict().items()}
    compiled_net = native(net, IMAGE)
    images = torch.randn(3, *IMAGE)
    expected = compiled_net(images)
    assert all(torch.equal(value, state[name]) for name, value in net.state_dict().items())
    nn.init.zeros_(net.classifier.weight)
    assert torch.equal(compiled_net(images), expected)
    net.load_state_dict(state)


@needs_kernels
def test_eight_lanes_without_avx512(monkeypatch):
    monkeypatch.setenv("GHOSTEXP_MARCH", "x86-64-v3")
    net = resnet8(ratio=3)
    compiled_net = native(net, (3, 8, 8))
    assert compiled_net._lanes == 8
    assert_equal_to_eager(compiled_net, net, torch.randn(9, 3, 8, 8))


class ReadsAnotherView(nn.Module):
    """The in-place ReLU changes what the logits are a view of."""

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        means = nn.functional.adaptive_avg_pool2d(images, 1)
        logits = means.flatten(1)
        nn.functional.relu_(means)
        return logits


class Twice(nn.Module):
    def forward(self, maps: torch.Tensor) -> torch.Tensor:
        return torch.cat([maps, maps], dim=1)


def head(*layers: nn.Module) -> nn.Module:
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(1))


@needs_kernels
@pytest.mark.parametrize(
    ("net", "message"),
    [
        (head(nn.Conv2d(3, 8, 3, padding=1), nn.Hardswish()), r"hardswish\S* \(layer 1\)"),
        (head(nn.Conv2d(3, 8, 5, padding=2)), r"a 5x5 convolution \(layer 0\)"),
        (head(nn.Conv2d(3, 8, 3)), "padded by half"),
        (head(nn.Conv2d(3, 6, 3, padding=1, groups=3)), "grouped convolution outside"),
        (head(nn.BatchNorm2d(3)), "batch norm that follows no convolution"),
        (nn.Flatten(1), "flattening of more than one pixel"),
        (nn.Conv2d(3, 8, 1), "an output that is not logits"),
        (head(nn.Conv2d(3, 8, 1), nn.Conv2d(4, 8, 1)), "cannot trace"),
        (head(nn.Conv2d(3, 8, 1), Twice()), "a concatenation of what lies in other maps"),
        (ReadsAnotherView(), "in-place ReLU of maps that others read"),
        (head(nn.Conv2d(3, 8, 1).double()), "float32 on the CPU; 0.weight is torch.float64"),
    ],
)
def test_other_layers_are_refused_by_name(net, message):
    with pytest.raises(ValueError, match=message):
        native(net.eval(), IMAGE)


@needs_kernels
def test_training_mode_is_refused():
    with pytest.raises(ValueError, match="call eval"):
        native(resnet8().train(), IMAGE)


@needs_kernels
@pytest.mark.parametrize(
    "images",
    [
        torch.zeros(2, 3, 16, 15),
        torch.zeros(3, 16, 16),
        torch.zeros(2, 3, 16, 16, dtype=torch.float64),
        torch.zeros(2, 3, 16, 16, device="meta"),
    ],
)
def test_other_images_are_refused(images, ghost_twins):
    _, compiled_net = ghost_twins
    with pytest.raises(ValueError, match=r"takes float32 images \[N, 3, 16, 16\] on the CPU"):
        compiled_net(images)


def test_machine_without_compiler_or_vectors_is_refused(monkeypatch):
    net = head(nn.Conv2d(3, 8, 1)).eval()
    monkeypatch.setattr(native_net, "machine_macros", lambda: "#define __SSE2__ 1")
    with pytest.raises(ValueError, match="AVX2 or AVX-512"):
        native(net, IMAGE)
    monkeypatch.undo()
    monkeypatch.setenv("CXX", "no-such-g++")
    with pytest.raises(ValueError, match="need a C\\+\\+ compiler"):
        native(net, IMAGE)
