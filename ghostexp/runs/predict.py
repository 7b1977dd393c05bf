"""Classes of image or audio files by a trained run, from the run's folder alone."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from ghostexp.config.build import build
from ghostexp.data import ClassificationData
from ghostexp.data.tree import files_below
from ghostexp.runs.load import data_record, load_network


@dataclass(frozen=True)
class Prediction:
    """The most probable classes of a file with their probabilities, best first."""

    file: str
    ranking: list[tuple[str, float]]


class Predictor:
    """The network of the run in `directory`, on a GPU if there is one, in 32 bit."""

    def __init__(self, directory: Path) -> None:
        cfg, net = load_network(directory)
        record = data_record(directory)
        self.logit_scale = cfg.task.loss.scale if cfg.task.get("cosines") else 1.0
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self.net = net.eval().to(self.device, memory_format=torch.channels_last)
        self.datamodule: ClassificationData = build(cfg.dataset, "dataset")  # loads nothing
        self.class_names: list[str] = record["dataset"]["class_names"]

    def predict(
        self, paths: list[Path], *, top: int, batch_size: int, complain: Callable[[str], None]
    ) -> Iterator[Prediction]:
        """The `top` classes of each file, in order; `complain` is told of what cannot be read."""
        for start in range(0, len(paths), batch_size):
            files, examples = self._load(paths[start : start + batch_size], complain)
            if not files:
                continue
            best = self.probabilities(torch.stack(examples)).topk(min(top, len(self.class_names)))
            for file, shares, labels in zip(
                files, best.values.tolist(), best.indices.tolist(), strict=True
            ):
                names = [self.class_names[label] for label in labels]
                yield Prediction(str(file), list(zip(names, shares, strict=True)))

    def find(self, paths: list[Path]) -> list[Path]:
        """Files as they are given, folders as the files below them; an empty folder stays."""
        extensions = self.datamodule.source.extensions
        found = []
        for path in paths:
            found += files_below(path, extensions) or [path]
        return found

    @torch.inference_mode()
    def probabilities(self, examples: Tensor) -> Tensor:
        """Raw examples [N, ...], as loaders hold them -> probabilities [N, classes], on the CPU."""
        inputs = self.datamodule.augment.evaluate(examples.to(self.device))
        logits = self.net(inputs.contiguous(memory_format=torch.channels_last))
        return (self.logit_scale * logits.float()).softmax(dim=1).cpu()

    def _load(
        self, paths: list[Path], complain: Callable[[str], None]
    ) -> tuple[list[Path], list[Tensor]]:
        files, examples = [], []
        for path in paths:
            try:
                examples.append(self.datamodule.source.load_file(path))
            except ValueError as error:
                complain(str(error))
            else:
                files.append(path)
        return files, examples
