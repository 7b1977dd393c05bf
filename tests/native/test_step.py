"""A native training step against the same step of torch in float64."""

import copy
import pickle

import pytest
import torch
from helpers import long_ones
from torch import nn
from torch.nn.functional import cross_entropy

from ghostexp.kernels.compiler import machine_macros
from ghostexp.layers import GhostModule
from ghostexp.models.resnet import BasicBlock, PaddingShortcut, ProjectionShortcut
from ghostexp.models.vgg import VGG
from ghostexp.native import NativeStep

CLASSES = 4
WORST_BF16 = 0.02  # share of a gradient's size, where float32 gives 1e-6


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)


def layers(*modules: nn.Module, width: int) -> nn.Sequential:
    """Layers, a pooling and a classifier behind them."""
    return nn.Sequential(*modules, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(width, CLASSES))


def convolution(*arguments: int, bias: bool = False) -> list[nn.Module]:
    conv = nn.Conv2d(*arguments, padding=arguments[2] // 2, bias=bias)
    return [conv, nn.BatchNorm2d(arguments[1]), nn.ReLU(inplace=True)]


def ghost(ins: int, outs: int, stride: int, ratio: int, size: int) -> list[nn.Module]:
    module = GhostModule(ins, outs, 3, stride, ratio=ratio, cheap_kernel_size=size)
    return [module, nn.BatchNorm2d(outs), nn.ReLU()]


def blocks(*shortcuts: type[nn.Module]) -> nn.Sequential:
    """Residual blocks with these shortcuts, each of which halves the maps."""
    made = [BasicBlock(4 * i, 4 * i + 4, 2, shortcut=each) for i, each in enumerate(shortcuts, 1)]
    return layers(*convolution(3, 4, 3), *made, width=4 * len(made) + 4)


torch.manual_seed(0)  # rounding could turn a ReLU's sign where weights were others each time
NETS = {  # each with the channels, height and width of its images; odd ones, and bias without ReLU
    "strides": (
        layers(*convolution(3, 6, 3), *convolution(6, 8, 3, 2), *convolution(8, 5, 1, 2), width=5),
        (3, 7, 10),
    ),
    "ghosts": (layers(*ghost(3, 16, 1, 10, 3), *ghost(16, 9, 2, 4, 7)[:2], width=9), (3, 6, 9)),
    "blocks": (blocks(PaddingShortcut, ProjectionShortcut), (3, 9, 12)),
    "VGG": (VGG([(5, 1), (6, 1)], CLASSES), (3, 5, 7)),
}
BLOCKS = "blocks"


def trained(net: nn.Module, images: torch.Tensor, dtype: torch.dtype) -> dict[str, torch.Tensor]:
    """What a forward and a backward pass leave behind, in float64."""
    labels = torch.arange(len(images)) % CLASSES
    net = net.to(dtype).train()
    loss = cross_entropy(net(images.to(dtype)), labels)
    loss.backward()
    left = {"loss": loss.detach(), **{f"{name}.grad": p.grad for name, p in net.named_parameters()}}
    return {name: value.double() for name, value in (left | dict(net.named_buffers())).items()}


def errors(name: str, images: int, **autocast: bool) -> dict[str, tuple[float, float, float]]:
    """Errors of torch's step and of ours against float64, and the size of what is compared."""
    net, shape = NETS[name]
    net = copy.deepcopy(net)
    for norm in (each for each in net.modules() if isinstance(each, nn.BatchNorm2d)):
        nn.init.uniform_(norm.weight, 0.5, 1.5)
        nn.init.uniform_(norm.bias, -0.3, 0.3)
    batch = torch.randn(images, *shape) + 0.5
    exact = trained(copy.deepcopy(net), batch, torch.float64)
    with torch.autocast("cpu", torch.bfloat16, **autocast):
        stock = trained(copy.deepcopy(net), batch, torch.float32)
        native = trained(NativeStep()(copy.deepcopy(net)), batch, torch.float32)
    assert native.keys() == exact.keys()
    return {
        key: (float((stock[key] - value).norm()), float((native[key] - value).norm()),
              float(value.norm()))
        for key, value in exact.items()
    }  # fmt: skip


@pytest.mark.parametrize("images", long_ones([16, 21, 37], long=[16, 37]))
@pytest.mark.parametrize("name", NETS)
def test_error_against_float64_is_no_larger_than_torchs(name, images):
    for key, (stock, native, size) in errors(name, images, enabled=False).items():
        assert native <= 2 * stock + 1e-6 * size + 1e-7, key


@pytest.mark.slow
def test_the_same_for_any_cpu_with_avx2(monkeypatch):
    monkeypatch.setenv("GHOSTEXP_MARCH", "x86-64-v3")
    for key, (stock, native, size) in errors("ghosts", 37, enabled=False).items():
        assert native <= 2 * stock + 1e-6 * size + 1e-7, key


@pytest.mark.skipif("__AVX512BF16__" not in machine_macros(), reason="the CPU has no bfloat16")
def test_in_bfloat16_the_error_is_no_larger_than_torchs():
    found = errors("ghosts", 37, enabled=True)
    stock, native, size = (
        sum(values[i] ** 2 for values in found.values()) ** 0.5 for i in range(3)
    )
    assert 1e-4 * size < native <= 1.25 * stock < WORST_BF16 * size


def ready(name: str = BLOCKS) -> tuple[nn.Module, torch.Tensor]:
    net, shape = NETS[name]
    return NativeStep()(copy.deepcopy(net).train()), torch.randn(37, *shape)


def test_bits_depend_on_no_thread_count():
    before = torch.get_num_threads()
    net, images = ready("ghosts")
    left = []
    for threads in (1, 2, 3, 2):
        torch.set_num_threads(threads)
        left.append(trained(copy.deepcopy(net), images, torch.float32))
    torch.set_num_threads(before)
    for other in left[1:]:
        assert all(torch.equal(other[name], value) for name, value in left[0].items())


@pytest.mark.parametrize("change", ["evaluation", "frozen norm", "no gradients", "image gradients"])
def test_what_is_no_training_step_is_torchs(change, monkeypatch):
    net, images = ready()
    stock = copy.deepcopy(NETS[BLOCKS][0]).train()
    for each in (net, stock):
        each.train(change != "evaluation")
        each[1].train(change not in ("evaluation", "frozen norm"))
    images.requires_grad_(change == "image gradients")
    monkeypatch.setattr("ghostexp.native.step._Features", None)  # would fail if called
    with torch.set_grad_enabled(change != "no gradients"):
        assert torch.equal(net(images), stock(images))


def test_state_dict_copies_and_pickles_are_the_stock_networks():
    net, images = ready()
    stock = copy.deepcopy(NETS[BLOCKS][0]).train()
    assert net.state_dict().keys() == stock.state_dict().keys()
    expected = net(images)
    for other in (copy.deepcopy(net), pickle.loads(pickle.dumps(net))):
        assert torch.equal(other(images), expected)
        assert other.forward.net is other
        assert other[0].weight is not net[0].weight
    torch.testing.assert_close(expected, stock(images), rtol=1e-4, atol=1e-4)


def test_frozen_parameters_have_no_gradient():
    net, images = ready()
    net[0].weight.requires_grad_(False)
    net(images).sum().backward()
    assert net[0].weight.grad is None
    assert net[3].conv1.weight.grad is not None


def test_runs_are_used_again_and_a_second_backward_is_refused():
    net, images = ready()
    runs = net.forward
    for _ in range(3):
        loss = net(images).sum()
        loss.backward(retain_graph=True)
        assert len(runs.free_runs) == 1
    with pytest.raises(RuntimeError, match="goes backward once"):
        loss.backward()
    first, second = net(images), net(images)  # two steps at once
    assert not runs.free_runs
    first.sum().backward()
    del second
    assert len(runs.free_runs) == 2
    net.to(memory_format=torch.channels_last)  # weights lie elsewhere, and in another order
    net(images).sum().backward()
    assert len(runs.free_runs) == 1


@pytest.mark.parametrize(
    ("modules", "message"),
    [
        ([nn.Conv2d(3, 8, 5, padding=2), nn.BatchNorm2d(8)], "5x5 convolution"),
        ([nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8)], "padded by half"),
        ([nn.Conv2d(3, 6, 3, padding=1, groups=3), nn.BatchNorm2d(6)], "grouped convolution"),
        ([nn.Conv2d(3, 8, 1), nn.ReLU()], "without a batch norm"),
        ([*convolution(3, 8, 3), nn.SiLU()], "SiLU"),
        ([GhostModule(3, 8, norm_layer=nn.BatchNorm2d)], "outside of a bare Ghost module"),
    ],
)
def test_a_layer_without_a_kernel_is_refused_with_a_sentence(modules, message):
    with pytest.raises(ValueError, match=f"the native step has no kernel for .*{message}"):
        NativeStep()(layers(*modules, width=8))


def test_one_pixel_of_one_image_is_refused_as_torch_does():
    net, _ = ready("strides")
    with pytest.raises(ValueError, match="more than 1 value per channel"):
        net(torch.randn(1, 3, 1, 1))


def test_training_falls_as_torchs_does():
    net, images = ready()
    losses = {}
    for name, each in {"native": net, "stock": copy.deepcopy(NETS[BLOCKS][0]).train()}.items():
        optimizer = torch.optim.SGD(each.parameters(), lr=0.05, momentum=0.9)
        losses[name] = []
        for _ in range(12):
            loss = cross_entropy(each(images), torch.arange(len(images)) % CLASSES)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses[name].append(loss.item())
    assert losses["native"] == pytest.approx(losses["stock"], abs=1e-3)
    assert losses["native"][-1] < 0.9 * losses["native"][0]


@pytest.mark.parametrize(
    ("model", "sentence"),
    [
        ("linear", "the native step is for networks with convolutions; this one has none"),
        ("ghostnet", "no kernel for a grouped convolution outside of a bare Ghost module"),
    ],
)
def test_a_run_refuses_a_network_before_anything_is_written(app, capsys, tmp_path, model, sentence):
    assert app("callbacks=native", f"model={model}") == 1
    assert sentence in capsys.readouterr().out
    assert not [*tmp_path.rglob("result.json")]
