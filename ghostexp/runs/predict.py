"""Classes of image or audio files by a run, from its folder alone, or by an exported file."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from omegaconf import DictConfig
from torch import Tensor, nn

from ghostexp.config.build import build, input_shape
from ghostexp.config.explain import UserError
from ghostexp.config.mistakes import users_mistakes
from ghostexp.data import ClassificationData
from ghostexp.data.folder import has_colours
from ghostexp.data.tree import files_below
from ghostexp.deploy.in_engine import EngineNet, in_engine
from ghostexp.runs.exported import read_exported
from ghostexp.runs.load import data_record, load_network

CPU = torch.device("cpu")


@dataclass(frozen=True)
class Prediction:
    """The most probable classes of a file with their probabilities, best first."""

    file: str
    ranking: list[tuple[str, float]]

    def described(self) -> dict[str, Any]:
        """{"file", "class", "probability", "top": [{"class", "probability"}, ...]}."""
        top = [{"class": name, "probability": share} for name, share in self.ranking]
        return {"file": self.file, **top[0], "top": top}


@dataclass(frozen=True)
class Classifier:
    """A network with what it takes to use it; a softmax of `logit_scale` times its outputs counts.

    `cfg` holds the data set, which says how files are read.
    """

    net: nn.Module
    device: torch.device
    cfg: DictConfig
    class_names: list[str]
    logit_scale: float


def classifier_of_run(directory: Path, engine: str | None = None) -> Classifier:
    """The network of a run, in 32 bit, on a GPU if there is one; or in an engine, on the CPU."""
    cfg, net = load_network(directory)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if engine is not None:
        with users_mistakes("--engine"):
            net, device = EngineNet(in_engine(net, input_shape(cfg), engine)), CPU
    return Classifier(
        net=net,
        device=device,
        cfg=cfg,
        class_names=data_record(directory)["dataset"]["class_names"],
        logit_scale=cfg.task.loss.scale if cfg.task.get("cosines") else 1.0,
    )


def classifier_of_file(path: Path) -> Classifier:
    """An exported file in its engine."""
    exported = read_exported(path)
    net = EngineNet(exported.engine)
    return Classifier(net, CPU, exported.cfg, exported.class_names, exported.logit_scale)


class Predictor:
    """Predictions of the run in a folder, computed by torch or an `engine`, or of a file."""

    def __init__(self, path: Path, engine: str | None = None) -> None:
        if path.is_file() and engine is not None:
            raise UserError(f"--engine is for runs: {path} has an engine already")
        known = classifier_of_file(path) if path.is_file() else classifier_of_run(path, engine)
        self.logit_scale = known.logit_scale
        self.device = known.device
        self.net = known.net.eval().to(self.device, memory_format=torch.channels_last)
        self.datamodule: ClassificationData = build(known.cfg.dataset, "dataset")  # loads nothing
        self.class_names = known.class_names

    @property
    def sample_rate(self) -> int | None:
        """Of the sounds that the network hears; None for a network that sees images."""
        log_mel = getattr(self.datamodule.augment, "log_mel", None)
        return None if log_mel is None else log_mel.sample_rate

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

    def loses_colours(self, path: Path) -> bool:
        """Whether an image has colours that this network, which sees grey, is not given."""
        sees_grey = self.sample_rate is None and self.datamodule.input_shape[0] == 1
        return sees_grey and has_colours(path)

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
