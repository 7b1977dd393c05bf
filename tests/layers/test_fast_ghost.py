"""FastGhostModule against the stock module, both measured against float64."""

import copy
import pickle

import pytest
import torch
from torch import nn

from ghostexp.kernels.binding import suits_kernels
from ghostexp.layers import GhostModule
from ghostexp.layers.fast_ghost import FastGhostModule, use_fast_ghosts
from ghostexp.layers.rep_ghost import rep_ghost

MODULES = [  # images, in, out, height, width, ratio, cheap kernel
    (4, 8, 16, 9, 11, 2, 3),
    (3, 5, 16, 7, 5, 10, 3),  # two intrinsic maps, 14 of 18 ghosts kept
    (2, 3, 33, 6, 7, 2, 3),  # 17 intrinsic, 16 of 17 ghosts
    (2, 3, 24, 6, 7, 4, 7),
    (2, 3, 24, 2, 1, 2, 5),  # a kernel larger than the map
    (2, 3, 24, 6, 7, 2, 1),
]
DTYPES = [torch.float32, torch.bfloat16]
EPS = torch.finfo(torch.float32).eps


def ghost_module(in_channels, out_channels, ratio, cheap_kernel_size):
    module = GhostModule(
        in_channels, out_channels, 3, ratio=ratio, cheap_kernel_size=cheap_kernel_size
    )
    return module.to(memory_format=torch.channels_last)


def trained(module, inputs, grads, dtype):
    """Outputs and all gradients of one forward and backward pass."""
    inputs = inputs.clone().requires_grad_()
    with torch.autocast("cpu", torch.bfloat16, enabled=dtype == torch.bfloat16):
        outputs = module(inputs)
    assert outputs.is_contiguous(memory_format=torch.channels_last)
    outputs.backward(grads.to(outputs.dtype))
    left = {"outputs": outputs.detach(), "inputs.grad": inputs.grad}
    return left | {f"{name}.grad": value.grad for name, value in module.named_parameters()}


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("form", MODULES)
def test_error_against_float64_is_no_larger_than_stocks(form, dtype, march):
    torch.manual_seed(0)
    images, in_channels, out_channels, height, width, ratio, size = form
    module = ghost_module(in_channels, out_channels, ratio, size)
    inputs = torch.randn(images, in_channels, height, width)
    inputs = inputs.contiguous(memory_format=torch.channels_last)
    grads = torch.randn(images, out_channels, height, width)
    exact = trained(copy.deepcopy(module).double(), inputs.double(), grads, torch.float64)
    stock = trained(copy.deepcopy(module), inputs, grads, dtype)
    fast_module = use_fast_ghosts(copy.deepcopy(module))
    assert type(fast_module) is FastGhostModule
    fast = trained(fast_module, inputs, grads, dtype)
    assert fast.keys() == stock.keys()
    for name, value in exact.items():
        assert fast[name].dtype == stock[name].dtype, name
        stock_error = (stock[name].double() - value).norm()
        fast_error = (fast[name].double() - value).norm()
        assert fast_error <= 1.25 * stock_error + EPS * value.norm(), name


def test_bits_depend_on_no_thread_count(march):
    module = use_fast_ghosts(ghost_module(3, 16, 2, 3))
    inputs = torch.randn(5, 3, 8, 8).contiguous(memory_format=torch.channels_last)
    grads = torch.randn(5, 16, 8, 8)
    threads = torch.get_num_threads()
    results = []
    for count in (1, 2, 3):
        torch.set_num_threads(count)
        module.zero_grad(set_to_none=True)
        results.append(trained(module, inputs, grads, torch.float32))
    torch.set_num_threads(threads)
    for name in ("outputs", "cheap_operation.0.weight.grad"):
        assert all(torch.equal(results[0][name], other[name]) for other in results[1:])


def test_surplus_ghosts_have_no_gradient():
    module = use_fast_ghosts(ghost_module(3, 16, 10, 3))  # 18 ghosts made, 14 kept
    module(torch.randn(2, 3, 8, 8).contiguous(memory_format=torch.channels_last)).sum().backward()
    grad = module.cheap_operation[0].weight.grad
    assert grad[:14].abs().sum() > 0
    assert not grad[14:].any()


@pytest.mark.parametrize(
    "module",
    [
        GhostModule(4, 8, norm_layer=nn.BatchNorm2d),
        GhostModule(4, 8, ratio=1),
        GhostModule.from_conv(nn.Conv2d(4, 8, 3), bias=True),
        rep_ghost(4, 8),
    ],
    ids=["norms inside", "no ghosts", "biases", "branches"],
)
def test_other_modules_stay(module):
    assert type(use_fast_ghosts(module)) is GhostModule


def test_what_the_kernels_cannot_take_is_the_stock_operators():
    stock = ghost_module(3, 8, 2, 3)
    fast = use_fast_ghosts(copy.deepcopy(stock))
    inputs = torch.randn(2, 3, 5, 5)
    assert not suits_kernels(inputs)  # not channels_last
    assert not suits_kernels(inputs.double())
    for dtype in (torch.float32, torch.float64):
        expected = stock.to(dtype)(inputs.to(dtype))
        assert torch.equal(fast.to(dtype)(inputs.to(dtype)), expected)
    assert torch.equal(fast.eval()(inputs.double()), stock.eval()(inputs.double()))


def test_state_and_pickles_are_the_stock_modules():
    stock = ghost_module(3, 8, 2, 3)
    fast = use_fast_ghosts(copy.deepcopy(stock))
    assert fast.state_dict().keys() == stock.state_dict().keys()
    inputs = torch.randn(2, 3, 5, 5).contiguous(memory_format=torch.channels_last)
    assert torch.equal(pickle.loads(pickle.dumps(fast))(inputs), fast(inputs))
