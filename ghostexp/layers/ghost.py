"""Ghost module: half of the feature maps by convolution, the rest by a cheap operation on them.

"GhostNet: More Features from Cheap Operations", Han et al., CVPR 2020, section 3.1,
https://arxiv.org/abs/1911.11907. With s = `ratio`, k = `kernel_size` and d = `cheap_kernel_size`,
a convolution of c input and n output channels (n * c * k * k weights) becomes

    primary convolution  c -> m = ceil(n / s)   m * c * k * k weights   intrinsic feature maps
    cheap operation      m -> m * (s - 1)       m * (s - 1) * d * d     ghost maps, depthwise

whose concatenation is cut to n maps: s need not divide n.
"""

from collections.abc import Callable
from math import ceil, prod

import torch
from torch import Tensor, nn

Layer = Callable[..., nn.Module]


def check_ratio(ratio: int, out_channels: int) -> None:
    """ValueError unless the ratio is a whole number from 1 to `out_channels`."""
    if not isinstance(ratio, int) or not 1 <= ratio <= out_channels:
        raise ValueError(
            f"ratio must be a whole number from 1 to the layer's {out_channels} output channels,"
            f" not {ratio}"
        )


def check_cheap_kernel_size(cheap_kernel_size: int) -> None:
    """ValueError unless the size is odd: only odd kernels keep the size of the maps."""
    if (
        not isinstance(cheap_kernel_size, int)
        or cheap_kernel_size < 1
        or cheap_kernel_size % 2 == 0
    ):
        raise ValueError(f"cheap_kernel_size must be an odd whole number, not {cheap_kernel_size}")


class GhostModule(nn.Module):
    """Primary convolution and depthwise cheap operation, [N, c, H, W] -> [N, n, H', W'].

    Each half ends in `norm_layer(channels)` and `activation_layer(inplace=True)`, if given. Without
    both the module is called bare: it holds only convolutions, without bias. With ratio 1 it is a
    plain convolution. ValueError for a ratio or a cheap kernel that is not possible.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int = 1,
        stride: int = 1,
        *,
        ratio: int = 2,
        cheap_kernel_size: int = 3,
        norm_layer: Layer | None = None,
        activation_layer: Layer | None = None,
    ) -> None:
        check_ratio(ratio, out_channels)
        check_cheap_kernel_size(cheap_kernel_size)
        super().__init__()
        self.out_channels = out_channels
        self.ratio = ratio
        intrinsic = ceil(out_channels / ratio)
        ghosts = intrinsic * (ratio - 1)
        self.primary_conv = _half(
            nn.Conv2d(in_channels, intrinsic, kernel_size, stride, kernel_size // 2, bias=False),
            norm_layer,
            activation_layer,
        )
        if ratio > 1:  # a grouped convolution of zero filters cannot be built
            self.cheap_operation = _half(
                _depthwise(intrinsic, ghosts, cheap_kernel_size, bias=False),
                norm_layer,
                activation_layer,
            )

    @classmethod
    def from_conv(
        cls,
        conv: nn.Conv2d,
        *,
        ratio: int = 2,
        cheap_kernel_size: int = 3,
        bias: bool = False,
        norm_layer: Layer | None = None,
        map_size: tuple[int, int] | None = None,
    ) -> "GhostModule":
        """Ghost module with kernel, stride, padding and dilation of a dense `conv`; new weights.

        The new weights are drawn and then scaled, so that maps and gradients keep the variance that
        they have with `conv`. Much of a small map lies near its border: `map_size` gives the height
        and width, if they are known. `bias=True` gives both halves a bias, which starts as the bias
        of `conv`; it is needed where no norm layer follows, which would cancel it.
        """
        ghost = cls(
            conv.in_channels,
            conv.out_channels,
            ratio=ratio,
            cheap_kernel_size=cheap_kernel_size,
            norm_layer=norm_layer,
        )
        intrinsic = ceil(conv.out_channels / ratio)
        ghost.primary_conv[0] = nn.Conv2d(
            conv.in_channels,
            intrinsic,
            conv.kernel_size,
            conv.stride,
            conv.padding,
            conv.dilation,
            bias=bias,
            padding_mode=conv.padding_mode,
        )
        if ratio > 1 and bias:
            ghosts = intrinsic * (ratio - 1)
            ghost.cheap_operation[0] = _depthwise(intrinsic, ghosts, cheap_kernel_size, bias=True)
        ghost = ghost.to(conv.weight.device, conv.weight.dtype).train(conv.training)
        ghost._keep_variance(conv, map_size)
        return ghost

    @torch.no_grad()
    def _keep_variance(self, conv: nn.Conv2d, map_size: tuple[int, int] | None) -> None:
        """Scale the weights so that the maps vary as much as with `conv`, and take its bias."""
        halves = [half[0] for half in self.children()]
        _match_energy(halves[0].weight, conv.weight)
        if self.ratio > 1:
            kernels = halves[1].weight
            _preserve_energy(kernels)
            if map_size is not None:
                size = halves[1].kernel_size[0]
                kernels.div_(prod(_share_inside(side, size) for side in map_size) ** 0.5)
        given = [half.bias for half in halves if half.bias is not None]
        if given and conv.bias is not None:
            split = [len(bias) for bias in given]
            surplus = sum(split) - conv.out_channels  # maps that ceil adds and forward cuts
            values = torch.cat([conv.bias, conv.bias.new_zeros(surplus)]).split(split)
            for bias, value in zip(given, values, strict=True):
                bias.copy_(value)

    def forward(self, inputs: Tensor) -> Tensor:
        intrinsic = self.primary_conv(inputs)  # [N, m, H', W']
        return intrinsic if self.ratio == 1 else self.add_ghosts(intrinsic)

    def add_ghosts(self, intrinsic: Tensor) -> Tensor:
        """Intrinsic maps [N, m, H, W] and the ghosts made of them: [N, n, H, W]."""
        ghosts = self.cheap_operation(intrinsic)  # [N, m * (s - 1), H, W]
        # ceil adds some maps; cut before the concatenation, whose result is then contiguous
        kept = ghosts[:, : self.out_channels - intrinsic.shape[1]]
        return torch.cat([intrinsic, kept], dim=1)

    def extra_repr(self) -> str:
        return f"ratio={self.ratio}"


def _match_energy(weight: Tensor, dense: Tensor) -> None:
    """Scale the means of filters, and their deviations from the means, to the size in `dense`.

    Size is the root mean square over all filters. Maps behind an activation have a mean above 0, so
    the mean of a filter makes a large part of its output. A few filters drawn at random often have
    means that are twice too large.
    """
    axes = (1, 2, 3)
    mean, dense_mean = weight.mean(axes, keepdim=True), dense.mean(axes, keepdim=True)
    rest = (weight - mean) * _size_of(dense - dense_mean, weight - mean)
    weight.copy_(rest + mean * _size_of(dense_mean, mean))


def _preserve_energy(kernels: Tensor) -> None:
    """Make each cheap kernel [1, d, d] keep the size of a constant map and of white noise.

    Then its weights add up to 1 or -1, and their squares to 1. Random kernels do the same on
    average. Real maps lie between these two cases, because neighbouring pixels are alike.
    """
    axes, count = (1, 2, 3), kernels[0].numel()
    mean = kernels.mean(axes, keepdim=True)
    rest = kernels - mean
    size = rest.square().sum(axes, keepdim=True).clamp_min(torch.finfo(kernels.dtype).tiny).sqrt()
    sign = torch.where(mean < 0, -1.0, 1.0)
    kernels.copy_(sign / count + rest / size * (1 - 1 / count) ** 0.5)


def _share_inside(side: int, size: int) -> float:
    """Share of the taps that read a pixel and not the border, on maps of `side` pixels.

    The kernel has `size` taps in this direction; the mean is taken over all pixels.
    """
    radius = size // 2
    inside = sum(max(side - abs(offset), 0) for offset in range(-radius, radius + 1))
    return inside / (size * side)


def _size_of(wanted: Tensor, given: Tensor) -> Tensor:
    """Factor that gives `given` the root mean square of `wanted`."""
    tiny = torch.finfo(given.dtype).tiny
    return (wanted.square().mean() / given.square().mean().clamp_min(tiny)).sqrt()


def _depthwise(in_channels: int, out_channels: int, kernel_size: int, bias: bool) -> nn.Conv2d:
    return nn.Conv2d(
        in_channels,
        out_channels,
        kernel_size,
        padding=kernel_size // 2,
        groups=in_channels,
        bias=bias,
    )


def _half(
    conv: nn.Conv2d, norm_layer: Layer | None, activation_layer: Layer | None
) -> nn.Sequential:
    layers: list[nn.Module] = [conv]
    if norm_layer is not None:
        layers.append(norm_layer(conv.out_channels))
    if activation_layer is not None:
        layers.append(activation_layer(inplace=True))
    return nn.Sequential(*layers)
