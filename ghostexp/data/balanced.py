"""An order of an epoch in which all classes are equally frequent, whatever their size."""

import torch
from torch import Tensor

BALANCED = "balanced"
SAMPLERS = (None, BALANCED)


def check_sampler(sampler: str | None) -> None:
    """ValueError for a sampler that there is not."""
    if sampler not in SAMPLERS:
        raise ValueError(f"sampler is {BALANCED} or null, not {sampler}")


def class_counts(labels: Tensor, class_names: list[str]) -> dict[str, int]:
    """How many of the labels [N] are of each class."""
    counts = torch.bincount(labels, minlength=len(class_names))
    return dict(zip(class_names, counts.tolist(), strict=True))


def balanced_draw(labels: Tensor, generator: torch.Generator) -> Tensor:
    """Positions [N] of an epoch: as many draws with replacement as there are labels [N].

    Each draw is of any class with the same probability, as with torch's WeightedRandomSampler.
    Small classes are repeated, and of large ones some examples are left out of an epoch.
    """
    weights = 1 / torch.bincount(labels).double()
    return torch.multinomial(weights[labels], len(labels), replacement=True, generator=generator)
