"""Pictures of embeddings: two planes of them, and the files of TensorBoard's projector."""

from itertools import cycle
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from sklearn.decomposition import PCA
from sklearn.manifold import TSNE
from torch.nn import functional as F
from torch.utils.tensorboard import SummaryWriter

from ghostexp.analysis.embeddings import Embeddings
from ghostexp.pictures.palette import OKABE_ITO

MARKERS = "osD^vPX*<"  # nine, so that with seven colours 63 classes differ
MAX_NAMES = 30  # in a legend
PERPLEXITY = 30  # of t-SNE: about how many neighbours a point heeds; scikit-learn's default


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
