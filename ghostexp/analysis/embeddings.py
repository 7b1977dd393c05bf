"""Embeddings of a trained classifier: how its neighbours and pairs agree, and what they look like.

An embedding is what the last linear layer sees, whichever the network. Similarity is the cosine.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import cycle
from pathlib import Path

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from sklearn.decomposition import PCA
from sklearn.manifold import TSNE
from sklearn.metrics import roc_curve
from sklearn.neighbors import KNeighborsClassifier
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.tensorboard import SummaryWriter

from ghostexp.analysis.palette import OKABE_ITO

MARKERS = "osD^vPX*<"  # nine, so that with seven colours 63 classes differ
MAX_NAMES = 30  # in a legend
PERPLEXITY = 30  # of t-SNE: about how many neighbours a point heeds; scikit-learn's default


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
    """Embeddings of (inputs, labels) batches by `net`, which is put into eval mode."""
    seen: list[Tensor] = []
    watch = last_linear(net).register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    net.eval()

    def see(inputs: Tensor) -> Tensor:
        seen.clear()
        net(inputs)
        return torch.cat(seen)

    try:
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
    """Share of test embeddings whose nearest training embeddings are mostly of their class."""
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

    Pairs [P] are taken for the same class from a score on; errors are other pairs that are taken
    and same pairs that are not. Between two thresholds both are drawn as straight lines.
    """
    if bool(same.all()) or not bool(same.any()):
        raise ValueError("an equal error rate needs pairs of one class and pairs of two")
    taken, found, _ = roc_curve(same.numpy(), scores.numpy(), drop_intermediate=False)
    lost = 1 - found
    return float(np.interp(0.0, taken - lost, taken))


def draw_embeddings(embeddings: Embeddings, class_names: list[str]) -> Figure:
    """The plane of the largest variance (PCA) beside a map of the neighbourhoods (t-SNE)."""
    points = F.normalize(embeddings.vectors).numpy()
    labels = embeddings.labels.numpy()
    pca = PCA(2, random_state=0)
    flat = pca.fit_transform(points)
    tsne = TSNE(perplexity=min(PERPLEXITY, (len(points) - 1) / 3), init="pca", random_state=0)
    figure = Figure(figsize=(12, 5.6), layout="constrained")
    FigureCanvasAgg(figure)
    left, right = figure.subplots(1, 2)
    _scatter(left, flat, labels, class_names)
    first, second = pca.explained_variance_ratio_
    left.set(title="PCA", xlabel=f"{first:.0%} of the variance", ylabel=f"{second:.0%}")
    _scatter(right, tsne.fit_transform(points), labels, class_names)
    right.set(title="t-SNE (distances between groups say nothing)", xticks=[], yticks=[])
    if len(class_names) <= MAX_NAMES:
        figure.legend(*left.get_legend_handles_labels(), loc="outside right upper", frameon=False)
    return figure


def write_projector(directory: Path, embeddings: Embeddings, class_names: list[str]) -> None:
    """Embeddings and their classes for the projector of TensorBoard, below `directory`."""
    names = [class_names[label] for label in embeddings.labels.tolist()]
    with SummaryWriter(str(directory)) as writer:
        writer.add_embedding(embeddings.vectors, metadata=names, tag="test")


def _scatter(axes: Axes, points: np.ndarray, labels: np.ndarray, class_names: list[str]) -> None:
    styles = zip(cycle(OKABE_ITO), cycle(MARKERS), strict=False)
    for label, (name, (colour, marker)) in enumerate(zip(class_names, styles, strict=False)):
        x, y = points[labels == label].T
        axes.scatter(x, y, s=20, color=colour, marker=marker, alpha=0.7, lw=0, label=name)
    axes.spines[["top", "right"]].set_visible(False)
