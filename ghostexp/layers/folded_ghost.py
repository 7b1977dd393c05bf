"""Batch norms as scale and shift, and the layers that they can be folded into.

In eval mode a batch norm is y = scale * x + shift for each channel, with scale = weight / sqrt(var
+ eps) and shift = bias - mean * scale. A layer with weights and the batch norm behind it are one
layer with another weight and bias: scale * (w * u + b) + shift = (scale w) * u + (scale b + shift).

The batch norm behind a bare Ghost module covers the intrinsic maps x and their ghosts c * x; here c
is the depthwise kernel. The ghosts' part can be folded into c. The intrinsic part,
y = scale * x + shift, cannot be folded into the primary convolution, because the cheap operation
reads x. If the cheap operation read y instead, it would have to compute (c / scale) * (y - shift).
This does not exist where a scale is 0. It is also wrong at the border: there c pads x with zeros,
so y would have to be padded with shift, which differs from channel to channel, and a convolution
can only pad with zeros. So x stays as it is, and scale and shift are applied to the intrinsic maps
at the output. This is exact for every scale, shift and border, and with ratio 2 it is a pass over
half of the maps instead of all. In an exported file the pass is a depthwise 1x1 convolution, which
engines keep in their own layout and in int8. With a product and a sum instead, ONNX Runtime's int8
was half as fast.
"""

import torch
from torch import Tensor, nn
from torch.nn.functional import conv2d

from ghostexp.layers.ghost import GhostModule

Affine = tuple[Tensor, Tensor]  # scale and shift, float64, one value for each channel

TRANSPOSED = (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)


class FoldedGhost(nn.Module):
    """Bare Ghost module and the batch norm behind it, [N, c, H, W] -> [N, n, H', W'].

    Each of its three parts is one convolution. The cheap operation contains the ghosts' part of the
    batch norm, and the depthwise 1x1 convolution `norm` contains the intrinsic maps' part.
    """

    def __init__(self, ghost: GhostModule, affine: Affine) -> None:
        super().__init__()
        self.out_channels = ghost.out_channels
        self.primary_conv = ghost.primary_conv[0]
        self.cheap_operation = ghost.cheap_operation[0]
        intrinsic, made = self.primary_conv.out_channels, self.cheap_operation.out_channels
        scale, shift = affine
        self.norm = _depthwise_affine(
            scale[:intrinsic], shift[:intrinsic], like=self.primary_conv.weight
        )
        surplus = intrinsic + made - ghost.out_channels  # ceil made them; they are cut again
        scale_layer(
            self.cheap_operation,
            (
                torch.cat([scale[intrinsic:], scale.new_ones(surplus)]),
                torch.cat([shift[intrinsic:], shift.new_zeros(surplus)]),
            ),
        )

    def forward(self, inputs: Tensor) -> Tensor:
        intrinsic = self.primary_conv(inputs)  # [N, m, H', W']
        kept = self.cheap_operation(intrinsic)[:, : self.out_channels - intrinsic.shape[1]]
        normed = _normalise(intrinsic, self.norm.weight, self.norm.bias)
        return torch.cat([normed, kept], dim=1)


def _normalise(intrinsic: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """Depthwise 1x1 convolution of `intrinsic`, one step for torch.fx whatever it decides on."""
    if intrinsic.dtype != torch.float32 or torch.compiler.is_exporting():
        return conv2d(intrinsic, weight, bias, groups=len(weight))
    # torch's own depthwise convolution takes twice as long for one image in float32
    return torch.addcmul(bias[:, None, None], weight[:, 0], intrinsic)


torch.fx.wrap("_normalise")


def affine_of(norm: nn.Module) -> Affine:
    """Scale and shift of a batch norm with running statistics in eval mode."""
    mean, variance = norm.running_mean.double(), norm.running_var.double()
    scale = (variance + norm.eps).rsqrt()
    if norm.weight is not None:
        scale = scale * norm.weight.detach().double()
    shift = -mean * scale
    if norm.bias is not None:
        shift = shift + norm.bias.detach().double()
    return scale, shift


@torch.no_grad()
def scale_layer(layer: nn.Module, affine: Affine) -> None:
    """Change the weights of a layer in place, so that its output becomes scale * output + shift.

    The layer is a linear layer, a convolution or a transposed convolution.
    """
    scale, shift = affine
    if layer.bias is not None:
        shift = shift + scale * layer.bias.double()
    weight = layer.weight.double()
    if isinstance(layer, TRANSPOSED):  # [c, n / groups, ...]
        grouped = weight.unflatten(0, (layer.groups, -1))  # [groups, c / groups, n / groups, ...]
        factor = scale.view(layer.groups, 1, -1, *[1] * (weight.dim() - 2))
        weight = (grouped * factor).flatten(0, 1)
    else:  # [n, ...]
        weight = weight * scale.view(-1, *[1] * (weight.dim() - 1))
    layer.weight = nn.Parameter(weight.to(layer.weight))
    layer.bias = nn.Parameter(shift.to(layer.weight))


@torch.no_grad()
def _depthwise_affine(scale: Tensor, shift: Tensor, *, like: Tensor) -> nn.Conv2d:
    """Maps [N, m, H, W] times scale [m] plus shift [m], in the dtype and place of `like`."""
    conv = nn.Conv2d(len(scale), len(scale), 1, groups=len(scale)).to(like)
    conv.weight.copy_(scale[:, None, None, None])
    conv.bias.copy_(shift)
    return conv
