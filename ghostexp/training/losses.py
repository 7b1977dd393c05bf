"""Losses on cosines: softmax cross-entropy with a margin that the true class has to win by.

Each is called with cosines [N, classes] (`CosineLinear`) and labels [N], and computes at least in
float32. `scale` times the cosines are the logits that such a network is evaluated by. In evaluation
mode (`loss.eval()`) a loss is the cross-entropy of these logits, without a margin: predictions are
made by them, and a margin that grows during the training would make its epochs incomparable.
"""

from math import cos, pi, sin

import torch
from torch import Tensor, nn
from torch.nn import functional as F

SMALLEST_SINE_SQUARED = 1e-6  # below it the sine's slope, which has no bound, is left out


class ArcFace(nn.Module):
    """Adds `margin` (radians) to the angle of the true class, before the softmax.

    "ArcFace: Additive Angular Margin Loss for Deep Face Recognition", Deng et al., CVPR 2019,
    eq. 3, https://arxiv.org/abs/1801.07698: the logit of the true class is
    scale * cos(theta + margin), the others' scale * cos(theta). cos(theta + margin) would rise
    again from theta = pi - margin on; there cos(theta) - margin * sin(margin) goes on falling, as
    in the authors' code. With `easy_margin` angles beyond pi / 2 get no margin at all instead.
    """

    def __init__(
        self, *, margin: float = 0.5, scale: float = 64.0, easy_margin: bool = False
    ) -> None:
        if not 0 <= margin <= pi / 2:
            raise ValueError(f"margin is an angle from 0 to pi / 2, not {margin}")
        _check_scale(scale)
        super().__init__()
        self.margin = margin
        self.scale = scale
        self.easy_margin = easy_margin

    def forward(self, cosines: Tensor, targets: Tensor) -> Tensor:
        cosines = _checked(cosines, targets)
        if not self.training:
            return F.cross_entropy(self.scale * cosines, targets)
        true = cosines.gather(1, targets[:, None])  # [N, 1]
        sines = (1 - true.square()).clamp(min=SMALLEST_SINE_SQUARED).sqrt()
        moved = true * cos(self.margin) - sines * sin(self.margin)  # cos(theta + margin)
        if self.easy_margin:
            moved = torch.where(true > 0, moved, true)
        else:
            beyond = true - self.margin * sin(self.margin)
            moved = torch.where(true > cos(pi - self.margin), moved, beyond)
        logits = self.scale * cosines.scatter(1, targets[:, None], moved)
        return F.cross_entropy(logits, targets)


class CircleLoss(nn.Module):
    """Weighs each cosine by its distance from its optimum: 1 for the true class, 0 for others.

    "Circle Loss: A Unified Perspective of Pair Similarity Optimization", Sun et al., CVPR 2020,
    eq. 6 with class labels, https://arxiv.org/abs/2002.10857: with optima 1 + margin and -margin
    and boundaries 1 - margin and margin, log(1 + sum_n exp(scale * (w_n * (s_n - margin)
    - w_p * (s_p - 1 + margin)))), where w_p = max(0, 1 + margin - s_p) and w_n = max(0, s_n +
    margin) are constants to the gradient (eq. 10 and 11).
    """

    def __init__(self, *, margin: float = 0.25, scale: float = 256.0) -> None:
        if not 0 <= margin <= 1:
            raise ValueError(f"margin is a difference of cosines from 0 to 1, not {margin}")
        _check_scale(scale)
        super().__init__()
        self.margin = margin
        self.scale = scale

    def forward(self, cosines: Tensor, targets: Tensor) -> Tensor:
        cosines = _checked(cosines, targets)
        if not self.training:
            return F.cross_entropy(self.scale * cosines, targets)
        fixed = cosines.detach()
        true = F.one_hot(targets, cosines.shape[1]).bool()
        to_true = (1 + self.margin - fixed).relu() * (cosines - 1 + self.margin)
        to_others = (fixed + self.margin).relu() * (cosines - self.margin)
        return F.cross_entropy(self.scale * torch.where(true, to_true, to_others), targets)


def _check_scale(scale: float) -> None:
    if not scale > 0:
        raise ValueError(f"scale multiplies the cosines and must be above 0, not {scale}")


def _checked(cosines: Tensor, targets: Tensor) -> Tensor:
    if targets.ndim != 1 or targets.is_floating_point():
        raise ValueError(
            f"a margin is for one label per sample, not for class shares {list(targets.shape)}:"
            " switch mixing off, or use a loss without a margin"
        )
    return cosines.to(torch.promote_types(cosines.dtype, torch.float32))
