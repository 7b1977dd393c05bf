"""Parameter groups, and the learning-rate schedules that torch lacks.

The schedules are closed formulas of the number of steps: a `LambdaLR` whose state is only this
number.
"""

from math import cos, pi
from typing import Any

from torch import nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR

from ghostexp.training.blocks import blocks


def parameter_groups(net: nn.Module, *, decay_norm_and_bias: bool = True) -> list[dict[str, Any]]:
    """Parameters of `net` in one group, or in two if norm weights and biases shall not decay.

    Norm weights and biases are the parameters with fewer than two dimensions. The groups also hold
    frozen parameters: they have no gradient, so the optimizer does not touch them, and they may
    thaw in a later epoch.
    """
    parameters = list(net.parameters())
    if decay_norm_and_bias:
        return [{"params": parameters}]
    return [
        {"params": [each for each in parameters if each.ndim >= 2]},
        {"params": [each for each in parameters if each.ndim < 2], "weight_decay": 0},
    ]


def layerwise_groups(
    net: nn.Module, *, lr: float, layer_decay: float, decay_norm_and_bias: bool = True
) -> list[dict[str, Any]]:
    """`parameter_groups` of each block: the head learns at `lr`, and the blocks before it slower.

    A block that is k blocks before the head learns at lr * layer_decay ** k. This is the layer-wise
    learning-rate decay that ELECTRA uses for fine-tuning, Clark et al. 2020,
    https://arxiv.org/abs/2003.10555. `lr` must be the learning rate of the optimizer.
    """
    if not 0 < layer_decay <= 1:
        raise ValueError(
            f"layer_decay is the factor from block to block, in (0, 1], not {layer_decay}"
        )
    return [
        {**group, "lr": lr * layer_decay**distance}
        for distance, block in enumerate(reversed(blocks(net)))
        for group in parameter_groups(block, decay_norm_and_bias=decay_norm_and_bias)
        if group["params"]
    ]


def cosine(optimizer: Optimizer, total_steps: int, *, warmup: float = 0.0) -> LambdaLR:
    """Half a cosine from the learning rate to zero in `total_steps`, after a linear rise.

    This is SGDR, Loshchilov and Hutter 2017, eq. 5, with one cycle. `warmup` is the share of
    `total_steps` that the rise takes. A step is what the scheduler counts, an epoch or a batch.
    """
    if not 0 <= warmup < 1:
        raise ValueError(f"warmup is the share of the training that rises, in [0, 1), not {warmup}")
    rise = min(round(warmup * total_steps), total_steps - 1)

    def factor(step: int) -> float:
        if step < rise:
            return (step + 1) / (rise + 1)
        return 0.5 * (1 + cos(pi * min(1.0, (step - rise) / (total_steps - rise))))

    return LambdaLR(optimizer, factor)


def multistep(
    optimizer: Optimizer, total_steps: int, *, shares: list[float], gamma: float = 0.1
) -> LambdaLR:
    """The learning rate is multiplied by `gamma` after each of `shares` of `total_steps`.

    He et al. 2016, section 4.2, train ResNet-56 with shares of 0.5 and 0.75. These shares are
    the epochs 100 and 150 of 200. `ValueError` for a share outside (0, 1).
    """
    for share in shares:
        if not 0 < share < 1:
            raise ValueError(f"shares are parts of the training in (0, 1), not {share}")
    milestones = [round(share * total_steps) for share in shares]
    return LambdaLR(optimizer, lambda step: gamma ** sum(step >= each for each in milestones))


def constant(optimizer: Optimizer) -> LambdaLR:
    """The optimizer's learning rate, unchanged."""
    return LambdaLR(optimizer, lambda step: 1.0)
