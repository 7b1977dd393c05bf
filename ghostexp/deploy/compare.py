"""A deployed network compared with the trained one, on the same inputs."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import torch
from torch import Tensor

TOLERANCE = 1e-4  # in float32: how far an output may differ, as a share of the largest output
MAX_DROP = 0.005  # in every other precision: how far the accuracy may fall

Call = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Comparison:
    """How the outputs of both networks differ for the examples of a split."""

    split: str
    examples: int
    difference: float  # the largest difference of an output
    largest: float  # the largest output of the trained network
    other_class: float  # share of the examples to which both give different classes
    accuracy: float  # of the trained network
    deployed_accuracy: float

    def complaint(self, precision: str) -> str | None:
        """A sentence, if the networks differ by more than `precision` allows; else None."""
        if precision == "fp32":
            if self.difference <= TOLERANCE * self.largest:
                return None
            return (
                f"an output for {self.split} examples differs by {self.difference:.2g}, more than"
                f" {TOLERANCE:g} of the largest, {self.largest:.3g}"
            )
        drop = round(self.accuracy - self.deployed_accuracy, 9)  # 0.911 - 0.906 is not 0.005
        if drop <= MAX_DROP:
            return None
        return (
            f"the accuracy on {self.split} examples drops by {100 * drop:.2f} points, more than"
            f" {100 * MAX_DROP:g}"
        )


@torch.no_grad()
def compare(
    split: str, batches: Iterable[tuple[Tensor, Tensor]], trained: Call, deployed: Call
) -> Comparison:
    """Run both networks on all batches (inputs, labels) of a split, and compare their outputs."""
    seen = [(labels, trained(inputs), deployed(inputs)) for inputs, labels in batches]
    labels, before, after = (torch.cat(tensors) for tensors in zip(*seen, strict=True))
    preds, deployed_preds = before.argmax(dim=1), after.argmax(dim=1)
    return Comparison(
        split=split,
        examples=len(labels),
        difference=float((after - before).abs().max()),
        largest=float(before.abs().max()),
        other_class=_share(preds != deployed_preds),
        accuracy=_share(preds == labels),
        deployed_accuracy=_share(deployed_preds == labels),
    )


def _share(found: Tensor) -> float:
    return float(found.double().mean())
