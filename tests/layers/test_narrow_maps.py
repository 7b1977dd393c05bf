import pytest
import torch
from torch import nn

from ghostexp.layers.narrow_maps import exact_on_narrow_maps


def gradients(conv, images, weights_of_sum):
    images = images.clone().requires_grad_()
    conv.zero_grad()
    outputs = conv(images)
    (outputs.float() * weights_of_sum).sum().backward()
    return outputs.float(), images.grad, conv.weight.grad


def leave_nan_in_free_memory():
    """The next tensors lie in memory that holds NaN, where nothing is written to them."""
    del [
        torch.full((n,), torch.nan) for n in (16, 64, 144, 288, 400, 1000, 2304) for _ in range(9)
    ][:]


@pytest.mark.parametrize(
    ("kernel", "stride", "groups", "height", "width"),
    [(3, 2, 24, 1, 1), (5, 2, 24, 8, 1), (3, 2, 1, 1, 1), (7, 3, 12, 2, 2), (3, 2, 1, 8, 8)],
)
def test_bf16_agrees_with_float32(kernel, stride, groups, height, width):
    torch.manual_seed(0)
    conv = nn.Conv2d(24, 24, kernel, stride, kernel // 2, groups=groups, bias=True)
    images = torch.randn(16, 24, height, width).to(memory_format=torch.channels_last)
    weights_of_sum = torch.randn_like(conv(images))
    expected = gradients(conv, images, weights_of_sum)
    exact_on_narrow_maps(conv)
    for _ in range(12):
        leave_nan_in_free_memory()
        with torch.autocast("cpu", torch.bfloat16):
            found = gradients(conv, images, weights_of_sum)
        for ours, right in zip(found, expected, strict=True):
            assert (ours - right).abs().max() < 0.02 * right.abs().max()


def test_a_layer_of_bf16_weights_keeps_its_dtype():
    conv = nn.Conv2d(8, 8, 3, 2, 1).bfloat16()
    exact_on_narrow_maps(conv)
    images = torch.randn(2, 8, 1, 1, dtype=torch.bfloat16)
    outputs = conv(images)
    assert outputs.dtype is torch.bfloat16
    right = nn.functional.conv2d(images.float(), conv.weight.float(), conv.bias.float(), 2, 1)
    assert torch.equal(outputs, right.bfloat16())
