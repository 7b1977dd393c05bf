"""What a classifier is measured by: accuracy and top-5 accuracy, and what its config adds.

A metric takes logits [N, classes] and labels [N]. It gives one number, or one number per class. A
number per class is logged under the metric's name and the name of the class: `recall_of_cat`.
"""

import logging
import warnings
from copy import deepcopy

import torch
from torch import Tensor
from torchmetrics import Metric, MetricCollection
from torchmetrics.classification import MulticlassAccuracy

log = logging.getLogger(__name__)

ALWAYS = ("acc", "acc_top5", "loss")  # names that every classifier logs
ANY_CLASS = "*"  # stands for the name of a class, where the data have not been read yet


class LossMean(Metric):
    """Mean of a loss over all images of a split, whatever their batches; NaN if it is NaN in one.

    Images may count differently, as class weights say.
    """

    full_state_update = False
    higher_is_better = False

    def __init__(self) -> None:
        super().__init__()
        self.add_state("total", torch.tensor(0.0), dist_reduce_fx="sum")
        self.add_state("weight", torch.tensor(0.0), dist_reduce_fx="sum")

    def update(self, loss: Tensor, weight: Tensor | int) -> None:
        """Add the mean loss of a batch, whose images weigh `weight` together."""
        self.total += loss * weight
        self.weight += weight

    def compute(self) -> Tensor:
        return self.total / self.weight


class SplitMetrics(torch.nn.Module):
    """The metrics of one split, `val` or `test`.

    `added` are the metrics of the config by their names. ValueError with one sentence for a metric
    that does not fit a classifier of `num_classes` classes.
    """

    def __init__(self, split: str, num_classes: int, added: dict[str, Metric]) -> None:
        super().__init__()
        metrics = {"acc": MulticlassAccuracy(num_classes, average="micro")}
        if num_classes > 5:
            metrics["acc_top5"] = MulticlassAccuracy(num_classes, top_k=5, average="micro")
        self.prefix = f"{split}/"
        self.per_class = {name for name in added if _is_per_class(name, added[name], num_classes)}
        self.told: set[str] = set()
        self.metrics = MetricCollection(metrics | deepcopy(added))

    def update(self, logits: Tensor, labels: Tensor) -> None:
        self.metrics.update(_no_probabilities(logits), labels)

    def compute(self, class_names: list[str]) -> dict[str, Tensor]:
        """Value of each metric; the next update begins anew."""
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always", UserWarning)
            found = self.metrics.compute()
        self.metrics.reset()
        self._tell({str(warning.message) for warning in caught})
        values: dict[str, Tensor] = {}
        for name, value in found.items():
            if name in self.per_class:
                values |= dict(zip(self._keys(name, class_names), value, strict=True))
            else:
                values[f"{self.prefix}{name}"] = value.squeeze()
        return values

    def names(self, class_names: list[str]) -> set[str]:
        """Names under which the metrics are logged; `[ANY_CLASS]` are the classes' own names."""
        single = {f"{self.prefix}{name}" for name in self.metrics if name not in self.per_class}
        return single.union(*(self._keys(name, class_names) for name in self.per_class))

    def best_is_high(self, logged: str) -> bool | None:
        """Whether a logged metric is best where it is high; None if the metric does not say it."""
        name = logged.removeprefix(self.prefix)
        name = next((each for each in self.per_class if name.startswith(f"{each}_of_")), name)
        return self.metrics[name].higher_is_better if name in self.metrics else None

    def _tell(self, sentences: set[str]) -> None:
        """Log once what torchmetrics warns of, such as a class that has no image in the split."""
        for sentence in sorted(sentences - self.told):
            log.warning("metrics of %s: %s", self.prefix.rstrip("/"), " ".join(sentence.split()))
        self.told |= sentences

    def _keys(self, name: str, class_names: list[str]) -> list[str]:
        return [f"{self.prefix}{name}_of_{each}" for each in class_names]


def _is_per_class(name: str, metric: Metric, num_classes: int) -> bool:
    """Whether a metric gives one number per class: it is tried on one image of each class."""
    if name in ALWAYS:
        raise ValueError(
            f"metrics.{name}: every classifier logs {', '.join(ALWAYS)}; choose another name"
        )
    trial = deepcopy(metric)
    try:
        trial.update(torch.eye(num_classes) - 2, torch.arange(num_classes))
        value = trial.compute()
    except (ValueError, RuntimeError, TypeError) as error:
        raise ValueError(
            f"metrics.{name} does not take logits [N, {num_classes}] and labels [N]: {error}"
        ) from error
    shape = tuple(value.shape) if isinstance(value, Tensor) else None
    if shape not in ((), (1,), (num_classes,)):
        given = f"a {type(value).__name__}" if shape is None else f"a tensor of shape {shape}"
        raise ValueError(
            f"metrics.{name} gives {given}: a metric must give one number, or one number for each"
            f" of the {num_classes} classes"
        )
    return shape == (num_classes,)


def _no_probabilities(logits: Tensor) -> Tensor:
    """Logits that torchmetrics does not take for probabilities.

    It does so where all logits of a batch lie in [0, 1], as the logits of an untrained head may. To
    move all logits of an image by the same number changes nothing else.
    """
    in_range = ((logits >= 0) & (logits <= 1)).all()
    return torch.where(in_range, logits - 2, logits)
