"""A run's detector as an ONNX file, compared with what was trained on the run's test images.

The file takes one image [3, H, W] with pixels from 0 to 1, of the size that the data set says, and
gives boxes in its pixels, labels and scores, best first. Non-maximum suppression is inside.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import torch
from torch import Tensor

from ghostexp.config.explain import UserError
from ghostexp.config.mistakes import users_mistakes
from ghostexp.data import DetectionData
from ghostexp.deploy.detector_file import (
    BoxComparison,
    compare_detectors,
    detector_to_onnx,
    load_detector,
)
from ghostexp.deploy.export import Form, write_onnx
from ghostexp.deploy.fuse import batch_norms, fuse
from ghostexp.runs.subject import Subject, metadata, subject_of

COMPARED = 32  # test images


@dataclass(frozen=True)
class DetectorExport:
    """A written file beside the trained detector; `size` is (height, width) of its images."""

    path: Path
    size: tuple[int, int]
    folded: int  # batch norms
    left: int
    comparison: BoxComparison

    @property
    def mismatch(self) -> str | None:
        """The sentence on what differs by more than it may, if anything does."""
        return self.comparison.complaint


def export_detector(words: list[str], form: Form, path: Path) -> DetectorExport:
    """Write the detector that `words` name (see `subject`) to `path`, and compare."""
    if (form.format, form.precision, form.dynamic_batch) != ("onnx", "fp32", False):
        raise UserError("a detector is written as onnx in fp32, for one image at a time")
    subject = subject_of(words)
    parts = subject.parts
    data, net = parts.datamodule, parts.task.net.eval()
    with users_mistakes("dataset"):
        data.setup("test")
    with users_mistakes("model"):
        fused = fuse(net)
    images = list(islice(_images(data), COMPARED))
    if not images:
        size = "x".join(map(str, data.input_shape[1:]))
        raise UserError(
            f"no test image has {size} pixels, which dataset.image_size says, to compare with"
        )
    with users_mistakes("model"):
        model = detector_to_onnx(fused, images[0])
    write_onnx(model, path, form.metadata | _metadata(words[0], subject))
    _, deployed = load_detector(path)
    return DetectorExport(
        path=path,
        size=data.input_shape[1:],
        folded=len(batch_norms(net)),
        left=len(batch_norms(fused)),
        comparison=compare_detectors(images, lambda image: net([image])[0], deployed),
    )


def _images(data: DetectionData) -> Iterator[Tensor]:
    """Test images of the size that the file is for."""
    for images, _ in data.test_dataloader():
        yield from (image for image in images if image.shape == torch.Size(data.input_shape))


def _metadata(word: str, subject: Subject) -> dict[str, str]:
    """What whoever deploys the file must know; every value is text, lists and mappings JSON."""
    data = subject.parts.datamodule
    size = ", ".join(map(str, data.input_shape))
    return metadata(word, subject) | {  # label k is class_names[k - 1]
        "category_ids": json.dumps(data.category_ids),
        "inputs": f"float32 [{size}]: one RGB image, pixels from 0 to 1",
        "outputs": "boxes [n, 4] xyxy in pixels, labels [n] from 1, scores [n]",
    }
