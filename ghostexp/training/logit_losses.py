"""Losses on logits, also for classes of unequal size: cross-entropy with class weights, focal loss.

Each is called with logits [N, classes] and labels [N] or class shares [N, classes].
"""

from math import isfinite
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.ops import sigmoid_focal_loss

BALANCED = "balanced"  # in a config: `balanced_weights` of the training split take its place


class CrossEntropy(nn.CrossEntropyLoss):
    """torch's cross-entropy, whose class weights are a list in a config and in no checkpoint.

    With labels, the loss of a batch is divided by the sum of its examples' class weights.
    """

    def __init__(
        self,
        *,
        label_smoothing: float = 0.0,
        class_weights: list[float] | Literal["balanced"] | None = None,
    ) -> None:
        super().__init__(label_smoothing=label_smoothing)
        weights = None if class_weights is None else torch.tensor(_checked(class_weights))
        self.register_buffer("weight", weights, persistent=False)  # a resumed run may change it


class FocalLoss(nn.Module):
    """Focal loss of one sigmoid per class, summed over the classes: easy examples count less.

    "Focal Loss for Dense Object Detection", Lin et al., ICCV 2017, eq. 5,
    https://arxiv.org/abs/1708.02002, as torchvision computes it. `gamma` says how much less, and
    `alpha` is the weight of an example's class, and 1 - alpha the weight of the other classes; None
    weighs all alike. Predictions are the softmax of the logits; their order is the sigmoids'.
    """

    def __init__(self, *, gamma: float = 2.0, alpha: float | None = 0.25) -> None:
        if not gamma >= 0:
            raise ValueError(f"gamma is an exponent of at least 0, not {gamma}")
        if alpha is not None and not 0 <= alpha <= 1:
            raise ValueError(f"alpha is a share in [0, 1], or null, not {alpha}")
        super().__init__()
        self.gamma = gamma
        self.alpha = alpha

    def forward(self, logits: Tensor, targets: Tensor) -> Tensor:
        shares = F.one_hot(targets, logits.shape[1]) if targets.ndim == 1 else targets
        losses = sigmoid_focal_loss(
            logits,
            shares.to(logits.dtype),
            alpha=-1.0 if self.alpha is None else self.alpha,  # below 0 torchvision weighs none
            gamma=self.gamma,
        )
        return losses.sum(dim=1).mean()


def balanced_weights(counts: dict[str, int]) -> list[float]:
    """Weights by which all classes count alike: n / (classes * n_c), as scikit-learn's "balanced".

    `counts` are the training examples of each class by its name; ValueError for a class without.
    """
    empty = [name for name, count in counts.items() if count == 0]
    if empty:
        raise ValueError(
            f"class_weights={BALANCED}: no training example is of class {', '.join(empty)}; give"
            " the weights as a list"
        )
    total = sum(counts.values())
    return [total / (len(counts) * count) for count in counts.values()]


def _checked(weights: list[float] | str) -> list[float]:
    if weights == BALANCED:
        raise ValueError(
            f"class_weights={BALANCED} stands in a config only: give balanced_weights(counts)"
        )
    if not all(isfinite(weight) and weight >= 0 for weight in weights) or not any(weights):
        raise ValueError(f"class_weights are numbers of at least 0, not all 0, not {weights}")
    return [float(weight) for weight in weights]
