"""FastBatchNorm2d against the stock layer, both measured against float64."""

import copy
import pickle

import pytest
import torch
from torch import nn

from ghostexp.layers import fast_norm
from ghostexp.layers.fast_norm import FastBatchNorm2d, is_fast, use_fast_norm

SHAPES = [  # all of at least MIN_VALUES values, most of them odd
    (67, 1, 17, 19),
    (23, 3, 17, 19),
    (8, 8, 32, 32),
    (9, 16, 11, 13),
    (7, 17, 13, 11),
    (5, 64, 9, 7),
    (3, 127, 7, 11),
    (130, 128, 1, 1),
]
EPS = torch.finfo(torch.float32).eps
DTYPES = [torch.float32, torch.bfloat16]


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)


def maps(*shape: int, dtype: torch.dtype = torch.float32, mean: float = 0.0) -> torch.Tensor:
    values = torch.randn(shape) * (0.1 + torch.rand(shape[1], 1, 1)) + mean
    return values.to(dtype).contiguous(memory_format=torch.channels_last)


def norm(channels: int, **options: object) -> nn.BatchNorm2d:
    layer = nn.BatchNorm2d(channels, **options)
    if layer.affine:
        nn.init.normal_(layer.weight)
        nn.init.normal_(layer.bias)
    return layer


def trained(layer: nn.Module, inputs: torch.Tensor, grads: torch.Tensor) -> dict[str, torch.Tensor]:
    """Everything one forward and backward pass leaves behind."""
    inputs = inputs.clone().requires_grad_()
    outputs = layer(inputs)
    outputs.backward(grads.to(outputs.dtype))
    left = {"outputs": outputs.detach(), "inputs.grad": inputs.grad, **layer.state_dict()}
    return left | {f"{name}.grad": value.grad for name, value in layer.named_parameters()}


def assert_no_worse_than_stock(layer, inputs, grads):
    exact = trained(copy.deepcopy(layer).double(), inputs.double(), grads)
    stock = trained(copy.deepcopy(layer), inputs, grads)
    fast = trained(use_fast_norm(copy.deepcopy(layer)), inputs, grads)
    slopes = exact["outputs"].std((0, 2, 3)) / inputs.double().std((0, 2, 3))
    terms = (slopes.max() * grads.abs().max()).item()  # equal gradients of a channel cancel to zero
    assert fast.keys() == stock.keys()
    for name, value in exact.items():
        assert fast[name].dtype == stock[name].dtype, name
        stock_error = (stock[name].double() - value).abs().max()
        largest = terms if name == "inputs.grad" else 1.0  # maps have unit scale
        rounding = 0.25 * stock_error + EPS * max(largest, value.abs().max())
        assert (fast[name].double() - value).abs().max() <= stock_error + rounding, name


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", SHAPES)
def test_error_against_float64_is_no_larger_than_stocks(shape, dtype, march):
    inputs = maps(*shape, dtype=dtype)
    assert is_fast(inputs)
    assert_no_worse_than_stock(norm(shape[1]), inputs, torch.randn_like(inputs))


@pytest.mark.parametrize(
    "options",
    [
        {"affine": False},
        {"momentum": None},
        {"momentum": 1.0, "eps": 0.1},
        {"track_running_stats": False},
    ],
)
def test_options(options, march):
    inputs = maps(8, 8, 32, 32)
    assert_no_worse_than_stock(norm(8, **options), inputs, torch.randn_like(inputs))


def test_large_means_cancel_no_digits(march):
    inputs = maps(8, 8, 32, 32, mean=1000.0)
    assert_no_worse_than_stock(norm(8), inputs, torch.randn_like(inputs))


def test_cumulative_average_over_batches():
    stock = norm(8, momentum=None)
    fast = use_fast_norm(copy.deepcopy(stock))
    for _ in range(3):
        inputs = maps(8, 8, 32, 32)
        stock(inputs)
        fast(inputs)
    assert fast.num_batches_tracked == 3
    torch.testing.assert_close(fast.running_mean, stock.running_mean, rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(fast.running_var, stock.running_var)


@pytest.mark.parametrize(
    "make_grads",
    [
        lambda like: torch.randn(like.shape),  # NCHW
        lambda like: torch.randn(1, 16, 1, 1).expand_as(like),
        lambda like: torch.cat([torch.randn_like(like)] * 2, dim=1)[:, 8:24],  # half of a concat
    ],
)
def test_gradients_of_any_layout(make_grads):
    inputs = maps(9, 16, 11, 13)
    assert_no_worse_than_stock(norm(16), inputs, make_grads(inputs))


def test_not_a_number_spreads_as_in_stock(march):
    inputs = maps(8, 8, 32, 32, dtype=torch.bfloat16)
    inputs[0, 3, 0, 0] = float("nan")
    outputs = use_fast_norm(norm(8))(inputs)
    assert outputs.isnan().all(dim=(0, 2, 3)).tolist() == [channel == 3 for channel in range(8)]


@pytest.mark.parametrize(
    "inputs",
    [
        torch.randn(8, 8, 32, 32),  # NCHW
        maps(8, 8, 32, 32).double(),
        maps(2, 8, 4, 4),  # small
        maps(2, 256, 8, 8),  # wide
    ],
    ids=["NCHW", "float64", "small", "wide"],
)
def test_rule_leaves_to_stock(inputs, monkeypatch):
    assert not is_fast(inputs)
    monkeypatch.setattr(fast_norm, "_FastNorm", None)  # would fail if called
    stock = norm(inputs.shape[1]).to(inputs.dtype)
    assert torch.equal(use_fast_norm(copy.deepcopy(stock))(inputs), stock(inputs))


def test_rule_leaves_other_devices_to_stock():
    assert not is_fast(maps(8, 8, 32, 32).to("meta"))


def test_evaluation_and_half_parameters_are_stock(monkeypatch):
    monkeypatch.setattr(fast_norm, "_FastNorm", None)
    inputs = maps(8, 8, 32, 32)
    layer = norm(8).eval()
    assert torch.equal(use_fast_norm(copy.deepcopy(layer))(inputs), layer(inputs))
    layer = norm(8).bfloat16()
    inputs = inputs.bfloat16()
    assert torch.equal(use_fast_norm(copy.deepcopy(layer))(inputs), layer(inputs))


@pytest.mark.parametrize(
    ("shape", "message"),
    [((1, 8, 1, 1), "more than 1 value per channel"), ((8, 8), "expected 4D input")],
)
def test_refuses_what_stock_refuses(shape, message):
    with pytest.raises(ValueError, match=message):
        use_fast_norm(norm(8))(torch.ones(shape))


def test_refuses_wrong_channels():
    with pytest.raises(RuntimeError):
        use_fast_norm(norm(16))(maps(8, 8, 32, 32))


def test_second_derivative_is_refused():
    inputs = maps(8, 8, 32, 32).requires_grad_()
    outputs = use_fast_norm(norm(8))(inputs)
    (grads,) = torch.autograd.grad(outputs.square().sum(), inputs, create_graph=True)
    with pytest.raises(RuntimeError, match="once_differentiable"):
        grads.sum().backward()


@pytest.fixture
def threads():
    before = torch.get_num_threads()
    yield torch.set_num_threads
    torch.set_num_threads(before)


@pytest.mark.parametrize("dtype", DTYPES)
def test_bits_depend_on_no_thread_count(dtype, threads, march):
    inputs = maps(40, 17, 32, 31, dtype=dtype)
    grads = torch.randn_like(inputs)
    layer = use_fast_norm(norm(17))
    left = []
    for count in (1, 2, 2, 3):
        threads(count)
        left.append(trained(copy.deepcopy(layer), inputs, grads))
    for other in left[1:]:
        assert all(torch.equal(other[name], value) for name, value in left[0].items())


def test_swap_keeps_state_hooks_and_subclasses():
    class Own(nn.BatchNorm2d):
        pass

    net = nn.Sequential(nn.BatchNorm2d(8), Own(8))
    weight, calls = net[0].weight, []
    net[0].register_forward_hook(lambda *_: calls.append(1))
    assert use_fast_norm(net) is net
    net(maps(8, 8, 32, 32))
    assert type(net[0]) is FastBatchNorm2d
    assert type(net[1]) is Own
    assert net[0].weight is weight
    assert calls == [1]


def test_copies_pickles_and_loads_stock_state():
    inputs = maps(8, 8, 32, 32)
    stock = norm(8)
    stock(inputs)
    fast = FastBatchNorm2d(8)
    fast.load_state_dict(stock.state_dict())
    assert list(fast.state_dict()) == list(stock.state_dict())
    expected = copy.deepcopy(fast)(inputs)
    assert torch.equal(pickle.loads(pickle.dumps(fast))(inputs), expected)
    stock.load_state_dict(fast.state_dict())


def test_running_statistics_changes_are_seen_by_autograd():
    layer = use_fast_norm(norm(8))
    used = (layer.running_mean * torch.ones(8, requires_grad=True)).sum()
    layer(maps(8, 8, 32, 32))
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        used.backward()
