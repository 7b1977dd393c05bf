"""Parameter groups, and the learning-rate schedules that torch lacks.

The schedules are closed forms of the step count (`LambdaLR` with nothing but the count in its
state), so a run that is resumed with more epochs follows the longer schedule from there on.
"""

from math import cos, pi
from typing import Any

from torch import nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR


def parameter_groups(net: nn.Module, *, decay_norm_and_bias: bool = True) -> list[dict[str, Any]]:
    """Trainable parameters of `net`, without decay on norm weights and biases if asked.

    Those are the parameters of fewer than two dimensions.
    """
    trainable = [parameter for parameter in net.parameters() if parameter.requires_grad]
    if decay_norm_and_bias:
        return [{"params": trainable}]
    return [
        {"params": [parameter for parameter in trainable if parameter.ndim >= 2]},
        {"params": [parameter for parameter in trainable if parameter.ndim < 2], "weight_decay": 0},
    ]


def cosine(optimizer: Optimizer, total_steps: int, *, warmup: float = 0.0) -> LambdaLR:
    """Half a cosine from the learning rate to zero in `total_steps`, after a linear rise.

    SGDR, Loshchilov and Hutter 2017, eq. 5 with one cycle; `warmup` is the share of `total_steps`
    that the rise takes. A step is whatever the scheduler counts: an epoch or a batch.
    """
    if not 0 <= warmup < 1:
        raise ValueError(f"warmup is the share of the training that rises, in [0, 1), not {warmup}")
    rise = round(warmup * total_steps)

    def factor(step: int) -> float:
        if step < rise:
            return (step + 1) / (rise + 1)
        return 0.5 * (1 + cos(pi * min(1.0, (step - rise) / (total_steps - rise))))

    return LambdaLR(optimizer, factor)


def constant(optimizer: Optimizer) -> LambdaLR:
    """The optimizer's learning rate, unchanged."""
    return LambdaLR(optimizer, lambda step: 1.0)
