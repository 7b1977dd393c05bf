"""Published accuracies, for the column "paper" of a report.

GhostNet: "GhostNet: More Features from Cheap Operations", CVPR 2020, https://arxiv.org/abs/1911.11907
GhostNetV2: "GhostNetV2: Enhance Cheap Operation with Long-Range Attention", NeurIPS 2022,
https://arxiv.org/abs/2211.12905
GhostNetV3: "GhostNetV3: Exploring the Training Strategies for Compact Models", 2024,
https://arxiv.org/abs/2404.11202
G-Ghost: "GhostNets on Heterogeneous Devices via Cheap Operations", IJCV 2022,
https://arxiv.org/abs/2201.03297
RepGhostNet: https://arxiv.org/abs/2211.06088, as the names of its authors' weight files say
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

CIFAR10_CLASSES = {
    *("airplane", "automobile", "bird", "cat", "deer"),
    *("dog", "frog", "horse", "ship", "truck"),
}
DATASETS = {  # choice of a data set -> what the papers call it
    "cifar10": "cifar10",
    "imagenet": "imagenet",
    "imagenet_randaugment_mixup": "imagenet",
    "coco": "coco",
}
# Data set -> the metric that the papers print for it, in percent.
METRICS = {"cifar10": "test/acc", "imagenet": "test/acc", "coco": "test/map"}
# Data set -> epochs that GhostNet's paper trains for. GhostNet's and GhostNetV2's papers do not
# state the epochs on ImageNet.
EPOCHS = {"cifar10": 200, "imagenet": None, "coco": 12}
FEWEST_IMAGES = {"cifar10": 45_000, "imagenet": 1_200_000, "coco": 110_000}  # val_split may be 0.1

V1 = "GhostNet (CVPR 2020)"
V2 = "GhostNetV2 (NeurIPS 2022)"
V3 = "GhostNetV3 (2024), trained with a teacher"
G = "G-Ghost (IJCV 2022)"
REP = "the names of the RepGhost authors' files"


@dataclass(frozen=True)
class Published:
    """A printed figure, the network and settings it belongs to, and how long that was trained."""

    dataset: str
    factory: str  # last part of the model's `_target_`
    percent: float
    source: str
    settings: dict[str, Any] = field(default_factory=dict)  # of the model
    epochs: int | None = None

    @property
    def budget(self) -> str:
        return f"{self.epochs} epochs" if self.epochs else "epochs not stated"


def _cifar(factory: str, percent: float, source: str, **settings: Any) -> Published:
    return Published("cifar10", factory, percent, source, settings, EPOCHS["cifar10"])


def _imagenet(factory: str, width_mult: float, percent: float, name: str, paper: str) -> Published:
    settings = {"width_mult": width_mult, "small_input": False}
    epochs = 600 if paper == V3 else EPOCHS["imagenet"]
    return Published(
        "imagenet", factory, percent, f"{name} {width_mult}x in {paper}", settings, epochs
    )


def _regnet(size: float, percent: float) -> Published:
    source = f"G-Ghost RegNetX-{size}GF in {G}"
    return Published("imagenet", "g_ghost_regnet_x", percent, source, {"size": size, "ratio": 2})


def _resnet50(ratio: int, percent: float) -> Published:
    source = f"Ghost-ResNet-50, s={ratio}, in {V1}"
    return Published("imagenet", "ghost_resnet50", percent, source, {"ratio": ratio})


def _coco(factory: str, percent: float, name: str, heads: dict[str, Any]) -> Published:
    source = f"{name}, GhostNet 1.1x trained on ImageNet, in {V1}"
    settings = {"backbone._target_": "ghostexp.models.ghostnet.ghostnet", "min_size": 800}
    settings |= {"backbone.width_mult": 1.1, "max_size": 1333} | heads
    return Published("coco", factory, percent, source, settings, EPOCHS["coco"])


PUBLISHED = (
    _cifar("resnet56", 93.0, f"ResNet-56 in {V1}"),
    _cifar("ghost_resnet56", 93.0, f"ResNet-56 in {V1}", ratio=1),
    _cifar("ghost_resnet56", 92.7, f"Ghost-ResNet-56, s=2, in {V1}", ratio=2, cheap_kernel_size=3),
    _cifar("vgg16", 93.6, f"VGG-16 in {V1}"),
    _cifar("ghost_vgg16", 93.6, f"VGG-16 in {V1}", ratio=1),
    _cifar("ghost_vgg16", 93.7, f"Ghost-VGG-16, s=2, in {V1}", ratio=2, cheap_kernel_size=3),
    # factory, width multiplier, percent, name, paper
    _imagenet("ghostnet", 0.5, 66.2, "GhostNet", V1),
    _imagenet("ghostnet", 1.0, 73.9, "GhostNet", V1),
    _imagenet("ghostnet", 1.3, 75.7, "GhostNet", V1),
    _imagenet("ghostnet_v2", 1.0, 75.3, "GhostNetV2", V2),
    _imagenet("ghostnet_v2", 1.3, 76.9, "GhostNetV2", V2),
    _imagenet("ghostnet_v2", 1.6, 77.8, "GhostNetV2", V2),
    _imagenet("ghostnet_v3", 0.5, 69.4, "GhostNetV3", V3),
    _imagenet("ghostnet_v3", 1.0, 77.1, "GhostNetV3", V3),
    _imagenet("ghostnet_v3", 1.3, 79.1, "GhostNetV3", V3),
    _imagenet("ghostnet_v3", 1.6, 80.4, "GhostNetV3", V3),
    _imagenet("repghostnet", 0.5, 66.95, "RepGhostNet", REP),
    _imagenet("repghostnet", 0.58, 68.94, "RepGhostNet", REP),
    _imagenet("repghostnet", 0.8, 72.24, "RepGhostNet", REP),
    _imagenet("repghostnet", 1.0, 74.22, "RepGhostNet", REP),
    _imagenet("repghostnet", 1.11, 75.07, "RepGhostNet", REP),
    _imagenet("repghostnet", 1.3, 76.37, "RepGhostNet", REP),
    _imagenet("repghostnet", 1.5, 77.45, "RepGhostNet", REP),
    _imagenet("repghostnet", 2.0, 78.81, "RepGhostNet", REP),
    _regnet(3.2, 77.8),
    _regnet(4.0, 78.6),
    _regnet(8.0, 79.0),
    _regnet(16.0, 79.9),
    _resnet50(2, 75.0),
    _resnet50(4, 74.1),
    _coco("faster_rcnn_ghostnet", 26.9, "Faster R-CNN", {"heads.channels": 256}),
    _coco("retinanet_ghostnet", 26.6, "RetinaNet", {"heads.channels": 256}),
)


def find_published(
    value: Callable[[str], Any], class_names: list[Any] | None, metric: str
) -> Published | None:
    """Figure for a run whose choices and settings `value` returns by key (`model.ratio`)."""
    is_copy = is_cifar10(class_names)
    dataset = "cifar10" if is_copy else DATASETS.get(str(value("dataset")))
    if METRICS.get(str(dataset)) != metric:
        return None
    factory = str(value("model._target_")).rpartition(".")[2]
    for published in PUBLISHED:
        if (published.dataset, published.factory) == (dataset, factory) and all(
            value(f"model.{key}") == setting for key, setting in published.settings.items()
        ):
            return published
    return None


def is_cifar10(class_names: list[Any] | None) -> bool:
    """Whether a data set has CIFAR-10's ten classes, in any order."""
    return {str(name).lower() for name in class_names or []} == CIFAR10_CLASSES


def other_budget(published: Published, epochs: Any, num_train: int | None) -> str | None:
    """Why a difference from the printed figure would say nothing; None at the same budget."""
    if published.epochs is None:
        return "the paper does not state its epochs, so no difference is given"
    reasons = []
    if epochs != published.epochs:
        reasons.append(f"for {epochs or 'unknown'} epochs instead of {published.epochs}")
    if num_train and num_train < FEWEST_IMAGES[published.dataset]:
        reasons.append(f"on {num_train} images, not on all")
    return f"trained {' and '.join(reasons)}, so no difference is given" if reasons else None


def caveats(published: Published, value: Callable[[str], Any]) -> list[str]:
    """What else sets a run apart from the printed figure's, as far as its config tells."""
    reasons = []
    if str(value("dataset")) not in DATASETS:
        reasons.append("another copy of CIFAR-10 than the paper's")
    if value("model.weights"):
        reasons.append("started from trained weights, which the paper did not")
    if published.dataset == "imagenet" and value("dataset.image_size") not in (None, 224):
        reasons.append(f"images of {value('dataset.image_size')} pixels instead of 224")
    return reasons
