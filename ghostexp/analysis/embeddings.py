"""Embeddings of a trained classifier: how well neighbours and pairs agree in their classes.

An embedding is the input of the last linear layer, in any network. Similarity is the cosine.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
import torch
from sklearn.metrics import roc_curve
from sklearn.neighbors import KNeighborsClassifier
from torch import Tensor, nn
from torch.nn import functional as F

from ghostexp.analysis.evaluating import evaluating


@dataclass(frozen=True)
class Embeddings:
    """`vectors` [N, D] and `labels` [N], on the CPU."""

    vectors: Tensor
    labels: Tensor


def last_linear(net: nn.Module) -> nn.Linear:
    """The network's head; ValueError where it has no linear layer."""
    linear = [module for module in net.modules() if isinstance(module, nn.Linear)]
    if not linear:
        raise ValueError("the network has no linear layer, whose input would be the embedding")
    return linear[-1]


def embed(net: nn.Module, batches: Iterable[tuple[Tensor, Tensor]]) -> Embeddings:
    """Embeddings of (inputs, labels) batches by `net`, which keeps its mode."""
    seen: list[Tensor] = []
    watch = last_linear(net).register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))

    def see(inputs: Tensor) -> Tensor:
        seen.clear()
        net(inputs)
        return torch.cat(seen)

    try:
        with evaluating(net):
            return collect(see, batches)
    finally:
        watch.remove()


@torch.inference_mode()
def collect(
    embedder: Callable[[Tensor], Tensor], batches: Iterable[tuple[Tensor, Tensor]]
) -> Embeddings:
    """Embeddings that a function of inputs [N, ...] gives for (inputs, labels) batches."""
    pairs = [(embedder(inputs).float().cpu(), labels.cpu()) for inputs, labels in batches]
    vectors, labels = zip(*pairs, strict=True)
    return Embeddings(torch.cat(vectors), torch.cat(labels))


def knn_accuracy(train: Embeddings, test: Embeddings, neighbours: int) -> float:
    """Share of the test embeddings whose class is the most frequent among the nearest neighbours.

    The neighbours are training embeddings. ValueError for a number of `neighbours` that is not
    possible.
    """
    if not 1 <= neighbours <= len(train.labels):
        raise ValueError(
            f"neighbours is a number from 1 to the {len(train.labels)} training examples,"
            f" not {neighbours}"
        )
    vote = KNeighborsClassifier(neighbours, metric="cosine")
    vote.fit(train.vectors.numpy(), train.labels.numpy())
    return float(vote.score(test.vectors.numpy(), test.labels.numpy()))


def verification_pairs(embeddings: Embeddings) -> tuple[Tensor, Tensor]:
    """Cosine [P] of every pair of embeddings, and whether both are of one class [P]."""
    directions = F.normalize(embeddings.vectors)
    first, second = torch.triu_indices(len(directions), len(directions), offset=1)
    cosines = (directions @ directions.T)[first, second]
    return cosines, embeddings.labels[first] == embeddings.labels[second]


def equal_error_rate(scores: Tensor, same: Tensor) -> float:
    """Share of wrong answers at the threshold where both kinds of error are equally frequent.

    A pair counts as one class if its score is at least the threshold. One kind of error is a pair
    of two classes that does, the other a pair of one class that does not. Between two thresholds
    both shares are taken to change linearly. `scores` and `same` are [P]; ValueError where all
    pairs are of one class, or none is.
    """
    if bool(same.all()) or not bool(same.any()):
        raise ValueError("an equal error rate needs pairs of one class and pairs of two")
    taken, found, _ = roc_curve(same.numpy(), scores.numpy(), drop_intermediate=False)
    lost = 1 - found
    return float(np.interp(0.0, taken - lost, taken))
