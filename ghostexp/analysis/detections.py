"""What a detector finds in images, whichever way it is then shown or counted."""

from torch import Tensor, nn

from ghostexp.analysis.evaluating import evaluating

Target = dict[str, Tensor]


def detect(net: nn.Module, images: list[Tensor]) -> list[Target]:
    """Detections (boxes, labels, scores) of each image, on the CPU; `net` keeps its mode."""
    with evaluating(net):
        detections = net(images)
    return [{name: value.cpu() for name, value in each.items()} for each in detections]


def above(detection: Target, min_score: float) -> Target:
    """The detections of one image whose score is at least `min_score`."""
    kept = detection["scores"] >= min_score
    return {name: value[kept] for name, value in detection.items()}
