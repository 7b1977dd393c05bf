"""Objects in image files by a trained detector: boxes, pictures and COCO results JSON.

Its run's folder says network, reading of files, class names and category ids.
"""

import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ghostexp.analysis.detections import above, detect
from ghostexp.config.build import build
from ghostexp.data.boxes import rescale
from ghostexp.data.detection import DetectionData
from ghostexp.data.examples import shrink
from ghostexp.data.folder import EXTENSIONS, open_image
from ghostexp.data.tree import files_below
from ghostexp.pictures.boxes import DPI, annotate
from ghostexp.runs.load import data_record, load_network

Target = dict[str, Tensor]

PICTURE = 1280  # longest side of a picture, pixels: lines and numbers are as wide in all of them


@dataclass(frozen=True)
class Detections:
    """Objects of one file, best first: boxes [n, 4] xyxy in its pixels, labels [n], scores [n]."""

    file: Path
    found: Target


class Detector:
    """The detector of the run in `directory`, on a GPU if there is one, in 32 bit."""

    def __init__(self, directory: Path) -> None:
        cfg, net = load_network(directory)
        known = data_record(directory)["dataset"]
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self.net = net.to(self.device, memory_format=torch.channels_last)
        self.data: DetectionData = build(cfg.dataset, "dataset")  # loads nothing
        self.class_names: list[str] = known["class_names"]
        self.category_ids: list[int] = known["category_ids"]

    def find(self, paths: list[Path]) -> list[Path]:
        """Files as they are given, folders as the images below them; an empty folder stays."""
        found = []
        for path in paths:
            found += files_below(path, EXTENSIONS) or [path]
        return found

    def detect(self, paths: list[Path], *, complain: Callable[[str], None]) -> Iterator[Detections]:
        """Detections of each file, in order; `complain` is told of what cannot be read."""
        for path in paths:
            try:
                image, size = self.data.load_file(path)
            except ValueError as error:
                complain(str(error))
                continue
            (found,) = detect(self.net, [image.to(self.device)])
            yield Detections(path, _resized(found, _size(image), size))

    def describe(self, detections: Detections, min_score: float) -> dict[str, Any]:
        """{"file", "detections": [{"class", "score", "box"}, ...]}, best first; box xyxy."""
        found = above(detections.found, min_score)
        rows = zip(*(found[key].tolist() for key in ("labels", "scores", "boxes")), strict=True)
        listed = [
            {"class": self.class_names[label - 1], "score": score, "box": box}
            for label, score, box in rows
        ]
        return {"file": str(detections.file), "detections": listed}

    def draw(self, detections: Detections, min_score: float, path: Path) -> None:
        """Write the photo with its boxes to the PNG file `path`, shrunk to PICTURE if larger."""
        photo = open_image(detections.file, 3, upright=self.data.reading.exif != "ignore")
        image = shrink(photo, PICTURE).float() / 255
        found = _resized(above(detections.found, min_score), photo.size, _size(image))
        annotate(image, found, self.class_names).savefig(path, dpi=DPI)


def _size(image: Tensor) -> tuple[int, int]:
    """(width, height) of an image [3, H, W]."""
    return image.shape[2], image.shape[1]


def _resized(found: Target, old: tuple[int, int], new: tuple[int, int]) -> Target:
    """Objects of an image of size `old`, (width, height), after it is resized to `new`."""
    return found | {"boxes": torch.from_numpy(rescale(found["boxes"].numpy(), old, new))}


def coco_results(
    image_id: int, found: Target, category_ids: list[int]
) -> list[dict[str, int | float | list[float]]]:
    """Detections of one image as entries of COCO's results format, box (left, top, width, height).

    https://cocodataset.org/#format-results
    """
    left, top, right, bottom = found["boxes"].double().unbind(dim=1)
    boxes = torch.stack([left, top, right - left, bottom - top], dim=1).tolist()
    labels, scores = found["labels"].tolist(), found["scores"].tolist()
    return [
        {"image_id": image_id, "category_id": category_ids[label - 1], "bbox": box, "score": score}
        for label, box, score in zip(labels, boxes, scores, strict=True)
    ]


def write_results(path: Path, entries: Iterable[dict[str, Any]]) -> None:
    """COCO results JSON."""
    path.write_text(json.dumps(list(entries), indent=1) + "\n")


def picture_paths(folder: Path, files: list[Path]) -> list[Path]:
    """A PNG in `folder` for each file, by its name, numbered where two share one."""
    paths: list[Path] = []
    for file in files:
        stem, number = file.stem, 1
        while (path := folder / f"{stem}.png") in paths:
            number += 1
            stem = f"{file.stem}_{number}"
        paths.append(path)
    return paths
