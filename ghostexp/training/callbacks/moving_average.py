"""A moving average of the weights whose beginning does not hold on to the untrained weights."""

from collections.abc import Callable

from pytorch_lightning.callbacks import WeightAveraging
from torch import Tensor


def moving_average(decay: float = 0.999) -> WeightAveraging:
    """The callback that averages weights and buffers after each step, exponentially.

    After n updates a step keeps the share min(decay, (1 + n) / (10 + n)) of the average, as in
    TensorFlow and timm: a constant decay would keep 12 % of the untrained weights after 2,000
    steps at 0.999. ValueError for a decay that is not from 0 to below 1.
    """
    if not 0 <= decay < 1:
        raise ValueError(f"decay must be from 0 to below 1, not {decay:g}")
    return WeightAveraging(avg_fn=_averaging(decay))


def _averaging(decay: float) -> Callable[[Tensor, Tensor, Tensor], Tensor]:
    def average(averaged: Tensor, current: Tensor, updates: Tensor) -> Tensor:
        kept = (1 + updates) / (10 + updates)
        kept = kept.clamp(max=decay).to(averaged.device)
        return kept * averaged + (1 - kept) * current

    return average
