"""Ghost modules that keep what they can of the trained filters of a convolution.

Some of the trained filters become the primary convolution, unchanged. The cheap operation replaces
each of the other filters: it reads the maps of a filter that stays, and its d x d kernel is fitted
by least squares, so that both together are as close as possible to the replaced filter. The
distance is measured on the weights. It is relative to the size of the filter, because a batch norm
behind the layer gives all maps the same size. Pairs in which one filter explains much of the other
are taken first. The maps are then in another order; a `ChannelOrder` behind the Ghost module
restores the old one.
"""

import torch
from torch import Tensor, nn
from torch.nn.functional import pad

from ghostexp.layers.channel_order import ChannelOrder
from ghostexp.layers.ghost import GhostModule

CANDIDATES = 32  # sources that are considered for each filter, those that explain most of it
RIDGE = 1e-6  # of the Gram matrix's diagonal: filters of zeros have no inverse

Groups = dict[int, list[int]]  # filter that stays -> the filters that are made of it


@torch.no_grad()
def keep_filters(conv: nn.Conv2d, ghost: GhostModule) -> nn.Sequential:
    """The filters of `conv` put into `ghost`, a bare Ghost module, and its maps put into order."""
    primary, cheap = ghost.primary_conv[0], ghost.cheap_operation[0]
    kernels, explained = fit_kernels(conv, cheap.kernel_size[0])
    groups = group_filters(explained, primary.out_channels, ghost.ratio - 1)
    sources = list(groups)
    pairs = [(source, made) for source in sources for made in groups[source]]
    chosen = torch.stack([kernels(*pair) for pair in pairs])  # [n - m, d, d]
    primary.weight.copy_(conv.weight[sources])
    cheap.weight[: len(pairs), 0] = chosen.to(cheap.weight)
    if primary.bias is not None:
        primary.bias.copy_(conv.bias[sources])
        first, second = (conv.bias[[pair[side] for pair in pairs]] for side in (0, 1))
        cheap.bias[: len(pairs)] = second - first * chosen.sum((1, 2)).to(first)
    made_at = torch.tensor(sources + [made for _, made in pairs])  # filter of each map
    order = ChannelOrder(made_at.argsort()).to(conv.weight.device)
    return nn.Sequential(ghost, order).train(conv.training)


def fit_kernels(conv: nn.Conv2d, size: int) -> tuple["Kernels", Tensor]:
    """Best cheap kernels of `size` for all pairs of filters of `conv`.

    The first result gives the kernel of each pair. The second, [n, n], is how much of filter j the
    kernel explains when it reads the maps of filter i: a share of its energy, at most 1.
    """
    weight = _dilated(conv)
    taps = [(row, column) for row in range(size) for column in range(size)]
    target = _placed(weight, (size // 2, size // 2), size, conv.stride)  # [n, features]
    right = torch.stack(
        [_placed(weight, tap, size, conv.stride) @ target.T for tap in taps], dim=1
    )  # [n, d * d, n]
    gram = weight.new_empty(len(weight), len(taps), len(taps))
    for a, tap in enumerate(taps):
        placed = _placed(weight, tap, size, conv.stride)
        for b, other in enumerate(taps[: a + 1]):
            product = (placed * _placed(weight, other, size, conv.stride)).sum(1)
            gram[:, a, b] = gram[:, b, a] = product
    ridge = RIDGE * gram.diagonal(dim1=1, dim2=2) + torch.finfo(gram.dtype).tiny
    kernels = torch.linalg.solve(gram + ridge.diag_embed(), right)  # [n, d * d, n]
    energy = target.square().sum(1).clamp_min(torch.finfo(gram.dtype).tiny)
    return Kernels(kernels, size), (kernels * right).sum(1) / energy


class Kernels:
    """Cheap kernels of all pairs of filters, [n, d * d, n]."""

    def __init__(self, values: Tensor, size: int) -> None:
        self.values = values
        self.size = size

    def __call__(self, source: int, made: int) -> Tensor:
        """Kernel [d, d] that turns the maps of filter `source` into the maps of filter `made`."""
        return self.values[source, :, made].view(self.size, self.size)


def group_filters(explained: Tensor, sources: int, copies: int) -> Groups:
    """Choose the filters that stay, and at most `copies` other filters that each of them makes.

    All groups but the last are full, because a Ghost module fills its maps in order.
    `explained[i, j]` says how much of filter j filter i explains.
    """
    count = len(explained)
    groups: Groups = {}
    made: set[int] = set()
    for source, other in _best_pairs(explained):
        is_free = source not in made and (source in groups or len(groups) < sources)
        has_room = len(groups.get(source, ())) < copies and len(made) < count - sources
        if is_free and has_room and other not in made and other not in groups:
            groups.setdefault(source, []).append(other)
            made.add(other)
    left = [index for index in range(count) if index not in made and index not in groups]
    while len(groups) < sources:
        groups[left.pop()] = []
    for other in left:
        open_ones = [source for source, group in groups.items() if len(group) < copies]
        groups[max(open_ones, key=lambda source: explained[source, other])].append(other)
    return _filled(groups, copies)


def _best_pairs(explained: Tensor) -> list[tuple[int, int]]:
    """Pairs (source, made), the best explained first; of each filter only the best sources."""
    others = explained.clone().fill_diagonal_(-1)
    best = others.topk(min(CANDIDATES, len(others)), dim=0)  # [candidates, n]
    pairs = [
        (value, source, made)
        for values, indices in zip(best.values.tolist(), best.indices.tolist(), strict=True)
        for made, (value, source) in enumerate(zip(values, indices, strict=True))
        if source != made
    ]
    return [(source, made) for _, source, made in sorted(pairs, reverse=True)]


def _filled(groups: Groups, copies: int) -> Groups:
    """The same groups with the fullest first, filled up so that only the last is not full."""
    ordered = sorted(groups, key=lambda source: len(groups[source]), reverse=True)
    for source in ordered:
        while len(groups[source]) < copies and source != ordered[-1] and groups[ordered[-1]]:
            groups[source].append(groups[ordered[-1]].pop())
    return {source: groups[source] for source in ordered}


def _dilated(conv: nn.Conv2d) -> Tensor:
    """Weights [n, c, h, w] in float32 with the zeros that a dilation puts between them."""
    weight = conv.weight.detach().float()
    height, width = (
        step * (size - 1) + 1 for step, size in zip(conv.dilation, conv.kernel_size, strict=True)
    )
    spread = weight.new_zeros(*weight.shape[:2], height, width)
    spread[:, :, :: conv.dilation[0], :: conv.dilation[1]] = weight
    return spread


def _placed(weight: Tensor, tap: tuple[int, int], size: int, stride: tuple[int, int]) -> Tensor:
    """Filters [n, c, h, w] as one tap of a cheap kernel sees them: moved in a larger field, flat.

    The cheap operation reads the maps after the stride, so one tap is `stride` pixels away from the
    next.
    """
    (top, left), (rows, columns) = tap, stride
    margins = (left * columns, (size - 1 - left) * columns, top * rows, (size - 1 - top) * rows)
    return pad(weight, margins).flatten(1)
