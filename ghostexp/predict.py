"""Classes of image files by a trained run: its folder says network, preprocessing and names."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from ghostexp.build import build
from ghostexp.cli import UserError
from ghostexp.data import Augment, load_image
from ghostexp.data.folder import EXTENSIONS
from ghostexp.load import load_network
from ghostexp.results.record import read_record


@dataclass(frozen=True)
class Prediction:
    """The most probable classes of a file with their probabilities, best first."""

    file: str
    ranking: list[tuple[str, float]]


class Predictor:
    """The network of the run in `directory`, on a GPU if there is one, in 32 bit."""

    def __init__(self, directory: Path) -> None:
        cfg, net = load_network(directory)
        record = read_record(directory) or {}
        if "dataset" not in record:
            raise UserError(f"{directory} has no record with class names")
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self.net = net.eval().to(self.device, memory_format=torch.channels_last)
        self.augment: Augment = build(cfg.dataset.augment, "dataset.augment")
        self.in_channels: int = cfg.dataset.in_channels
        self.image_size: int = cfg.dataset.image_size
        self.class_names: list[str] = record["dataset"]["class_names"]

    def predict(
        self, paths: list[Path], *, top: int, batch_size: int, complain: Callable[[str], None]
    ) -> Iterator[Prediction]:
        """The `top` classes of each file, in order; `complain` is told of what cannot be read."""
        for start in range(0, len(paths), batch_size):
            files, images = self._load(paths[start : start + batch_size], complain)
            if not files:
                continue
            best = self.probabilities(torch.stack(images)).topk(min(top, len(self.class_names)))
            for file, shares, labels in zip(
                files, best.values.tolist(), best.indices.tolist(), strict=True
            ):
                names = [self.class_names[label] for label in labels]
                yield Prediction(str(file), list(zip(names, shares, strict=True)))

    @torch.inference_mode()
    def probabilities(self, images: Tensor) -> Tensor:
        """Images uint8 [N, C, H, W] -> probabilities [N, classes], on the CPU."""
        inputs = self.augment.evaluate(images.to(self.device))
        logits = self.net(inputs.contiguous(memory_format=torch.channels_last))
        return logits.float().softmax(dim=1).cpu()

    def _load(
        self, paths: list[Path], complain: Callable[[str], None]
    ) -> tuple[list[Path], list[Tensor]]:
        files, images = [], []
        for path in paths:
            try:
                images.append(load_image(path, self.in_channels, self.image_size))
            except ValueError as error:
                complain(str(error))
            else:
                files.append(path)
        return files, images


def find_images(paths: list[Path]) -> list[Path]:
    """Files as they are given, folders as the images below them; a folder without any stays."""
    found = []
    for path in paths:
        below = [p for p in sorted(path.rglob("*")) if p.suffix.lower() in EXTENSIONS]
        found += below or [path]
    return found
