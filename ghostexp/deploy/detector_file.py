"""A detector as an ONNX model, from pixels to boxes: normalisation, resizing, and suppression too.

torch.onnx traces it with the exporter for TorchScript, because torch.export of torch 2.15 fails at
sizes that depend on the image, such as the number of proposals. What the trace takes for fixed is
right for images of one size only: a file takes one image [3, H, W] of the size it was made for.
"""

import io
import warnings
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from ghostexp.deploy.engines import onnx_session

OPSET = 18
IMAGE, OUTPUTS = "image", ("boxes", "labels", "scores")
SAME_BOX = 1.0  # largest difference of a coordinate, pixels
SAME_SCORE = 0.01  # largest difference
MATCHED = 0.99  # least share of the detections that are the same in both

Target = dict[str, Tensor]
Detect = Callable[[Tensor], Target]


@dataclass(frozen=True)
class BoxComparison:
    """Detections of a trained detector that its file finds as well, with box, label and score."""

    images: int
    detections: int
    matched: int

    @property
    def complaint(self) -> str | None:
        """The sentence on what the file does not find, if that is too much."""
        if self.matched >= MATCHED * self.detections:
            return None
        return (
            f"only {self.matched} of {self.detections} detections in {self.images} test images are"
            f" the same"
        )


def detector_to_onnx(net: nn.Module, image: Tensor) -> bytes:
    """`net`, as torchvision's detectors in evaluation mode, for images of the size of `image`."""
    model = io.BytesIO()
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # dozens on what a trace takes for fixed, and on this way
        net([image])  # the anchors' cache must not hold anchors of a trace
        torch.onnx.export(
            net,
            ([image],),
            model,
            dynamo=False,
            opset_version=OPSET,
            input_names=[IMAGE],
            output_names=list(_order(net, image)),
        )
    return model.getvalue()


def load_detector(path: Path) -> tuple[dict[str, str], Detect]:
    """Metadata of a detector's file, and its function: image [3, H, W] -> detections."""
    session = onnx_session(path.read_bytes(), 0)
    names = [output.name for output in session.get_outputs()]

    def detect(image: Tensor) -> Target:
        found = session.run(None, {IMAGE: np.ascontiguousarray(image.numpy())})
        return {name: torch.from_numpy(value) for name, value in zip(names, found, strict=True)}

    return session.get_modelmeta().custom_metadata_map, detect


@torch.no_grad()
def compare_detectors(images: Iterable[Tensor], trained: Detect, deployed: Detect) -> BoxComparison:
    """Both detectors on images [3, H, W]."""
    pairs = [(trained(image), deployed(image)) for image in images]
    return BoxComparison(
        images=len(pairs),
        detections=sum(len(known["scores"]) for known, _ in pairs),
        matched=sum(_matched(known, found) for known, found in pairs),
    )


def _matched(known: Target, found: Target) -> int:
    """How many of `known` have a partner in `found`."""
    if not (len(known["scores"]) and len(found["scores"])):
        return 0
    distances = (known["boxes"][:, None] - found["boxes"]).abs().amax(dim=2)  # [known, found]
    same = distances <= SAME_BOX
    same &= known["labels"][:, None] == found["labels"]
    same &= (known["scores"][:, None] - found["scores"]).abs() <= SAME_SCORE
    return int(same.any(dim=1).sum())


def _order(net: nn.Module, image: Tensor) -> Iterable[str]:
    """Names of the outputs in the order that `net` gives them, which differs among detectors."""
    (found,) = net([image])
    assert set(found) == set(OUTPUTS)
    return found
