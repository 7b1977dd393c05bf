"""Published accuracies, for the column "paper" of a report.

GhostNet: "GhostNet: More Features from Cheap Operations", CVPR 2020, https://arxiv.org/abs/1911.11907
GhostNetV2: "GhostNetV2: Enhance Cheap Operation with Long-Range Attention", NeurIPS 2022,
https://arxiv.org/abs/2211.12905
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

# Data set -> the metric that the papers print for it, in percent.
METRICS = {"cifar10": "test/acc", "imagenet": "test/acc", "coco": "test/map"}

CIFAR10_CLASSES = {
    *("airplane", "automobile", "bird", "cat", "deer"),
    *("dog", "frog", "horse", "ship", "truck"),
}
V1 = "GhostNet (CVPR 2020)"
V2 = "GhostNetV2 (NeurIPS 2022)"


@dataclass(frozen=True)
class Published:
    """A printed figure, and the model choice and settings that it belongs to."""

    dataset: str
    model: str
    percent: float
    source: str
    settings: dict[str, float | str] = field(default_factory=dict)


GHOST = {"ratio": 2, "cheap_kernel_size": 3}  # s and d of the papers' experiments
DETECTION = {"backbone._target_": "ghostexp.models.ghostnet.ghostnet", "backbone.width_mult": 1.1}

PUBLISHED = (
    # data set, model, percent, source, settings
    Published("cifar10", "resnet56", 93.0, f"ResNet-56 in {V1}"),
    Published("cifar10", "ghost_resnet56", 93.0, f"ResNet-56 in {V1}", {"ratio": 1}),
    Published("cifar10", "ghost_resnet56", 92.7, f"Ghost-ResNet-56, s=2, in {V1}", GHOST),
    Published("cifar10", "vgg16", 93.6, f"VGG-16 in {V1}"),
    Published("cifar10", "ghost_vgg16", 93.6, f"VGG-16 in {V1}", {"ratio": 1}),
    Published("cifar10", "ghost_vgg16", 93.7, f"Ghost-VGG-16, s=2, in {V1}", GHOST),
    Published("imagenet", "ghostnet_v1", 66.2, f"GhostNet 0.5x in {V1}", {"width_mult": 0.5}),
    Published("imagenet", "ghostnet_v1", 73.9, f"GhostNet 1.0x in {V1}", {"width_mult": 1.0}),
    Published("imagenet", "ghostnet_v1", 75.7, f"GhostNet 1.3x in {V1}", {"width_mult": 1.3}),
    Published("imagenet", "ghostnet_v2", 75.3, f"GhostNetV2 1.0x in {V2}", {"width_mult": 1.0}),
    Published("imagenet", "ghostnet_v2", 76.9, f"GhostNetV2 1.3x in {V2}", {"width_mult": 1.3}),
    Published("imagenet", "ghostnet_v2", 77.8, f"GhostNetV2 1.6x in {V2}", {"width_mult": 1.6}),
    Published(
        *("coco", "faster_rcnn_ghostnet", 26.9, f"Faster R-CNN, GhostNet 1.1x, in {V1}"), DETECTION
    ),
    Published("coco", "retinanet_ghostnet", 26.6, f"RetinaNet, GhostNet 1.1x, in {V1}", DETECTION),
)


def find_published(
    value: Callable[[str], Any], class_names: list[Any] | None, metric: str
) -> Published | None:
    """Figure for a run whose choices and settings `value` returns by key (`model.ratio`)."""
    dataset = "cifar10" if is_cifar10(class_names) else value("dataset")
    if METRICS.get(str(dataset)) != metric:
        return None
    for published in PUBLISHED:
        if (published.dataset, published.model) == (dataset, value("model")) and all(
            value(f"model.{key}") == setting for key, setting in published.settings.items()
        ):
            return published
    return None


def is_cifar10(class_names: list[Any] | None) -> bool:
    """Whether a data set has CIFAR-10's ten classes, in any order."""
    return {str(name).lower() for name in class_names or []} == CIFAR10_CLASSES


def caveat(dataset: Any, num_train: int | None) -> str | None:
    """Why a run's accuracy does not compare with the printed digit; None if nothing is known."""
    reasons = []
    if str(dataset) not in METRICS:
        reasons.append("another copy of CIFAR-10")
    if dataset not in ("imagenet", "coco") and num_train and num_train < 45_000:
        reasons.append(f"trained on {num_train} images instead of 50000")
    return f"{', '.join(reasons)}: not comparable to the digit" if reasons else None
