"""Progressive learning: image size and regularisation grow together over the training.

"EfficientNetV2: Smaller Models and Faster Training", Tan and Le 2021, section 4, algorithm 1,
https://arxiv.org/abs/2104.00298. Early epochs see small images with little regularisation, which
is fast; later ones see larger images, which need more of it.
"""

import logging
from typing import Any

import pytorch_lightning as pl
from torch import nn
from torch.nn.modules.dropout import _DropoutNd
from torchvision.ops import StochasticDepth

from ghostexp.analysis.complexity import count_macs

log = logging.getLogger(__name__)

Span = tuple[float, float]  # a value in the first stage and in the last

PROBABILITIES = {"dropout": _DropoutNd, "stochastic_depth": StochasticDepth}  # modules with a `p`


class ProgressiveLearning(pl.Callback):
    """Trains in `stages` of equal length, from the first to the second value of each span.

    `image_size` in pixels: training batches are resized after their augmentation; evaluation keeps
    the data set's own size. `dropout` and `stochastic_depth` are the largest probability of the
    network's modules of that kind, the others keep their proportion to it; `cutout` is a side in
    pixels of the image before it is resized; `mix_alpha` is the alpha of the data set's MixUp or
    CutMix, 0 for none. None leaves as configured. The stage follows from the epoch alone, hence a
    resumed run goes on like an undisturbed one.
    """

    def __init__(
        self,
        *,
        stages: int = 4,
        image_size: Span,
        dropout: Span | None = None,
        stochastic_depth: Span | None = None,
        cutout: Span | None = None,
        mix_alpha: Span | None = None,
    ) -> None:
        if not isinstance(stages, int) or stages < 2:
            raise ValueError(f"stages must be a whole number of at least 2, not {stages}")
        spans = {
            "image_size": image_size,
            "dropout": dropout,
            "stochastic_depth": stochastic_depth,
            "cutout": cutout,
            "mix_alpha": mix_alpha,
        }
        self.stages = stages
        self.spans = {name: span for name, span in spans.items() if span is not None}
        for name, span in self.spans.items():
            _check_span(name, span)
        self.shares: dict[str, dict[nn.Module, float]] = {}
        self.mix: Any = None
        self.logged: int | None = None

    def values(self, stage: int) -> dict[str, float]:
        """What a stage, counted from 0, trains with; algorithm 1."""
        share = stage / (self.stages - 1)
        return {name: first + (last - first) * share for name, (first, last) in self.spans.items()}

    def check(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        datamodule: pl.LightningDataModule,
    ) -> None:
        """ValueError where epochs, data or network leave no room for the stages."""
        if trainer.max_epochs < self.stages:
            raise ValueError(
                f"{self.stages} stages need as many epochs, and max_epochs is {trainer.max_epochs}"
            )
        augment = getattr(datamodule, "augment", None)
        channels, height, width = datamodule.input_shape
        if not hasattr(augment, "train_size") or height != width:
            raise ValueError(
                "progressive learning needs square images and an augment that has train_size, not"
                f" {height}x{width} and {type(augment).__name__}"
            )
        if max(self.spans["image_size"]) > height:
            raise ValueError(
                f"image_size is {self.spans['image_size']}, but the images have {height} pixels"
            )
        if "mix_alpha" in self.spans and not hasattr(augment.mix, "alpha"):
            raise ValueError("mix_alpha needs a MixUp or CutMix as dataset.augment.mix")
        self._shares(pl_module.net)
        for stage in range(self.stages):
            size = round(self.values(stage)["image_size"])
            try:
                count_macs(pl_module.net, (channels, size, size))
            except (ValueError, AssertionError) as error:
                raise ValueError(
                    f"image_size: stage {stage + 1} trains on {size}x{size} pixels: {error}"
                ) from error

    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        if stage == "fit":
            self.check(trainer, pl_module, trainer.datamodule)
            self.shares = self._shares(pl_module.net)
            self.mix = trainer.datamodule.augment.mix

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        stage = trainer.current_epoch * self.stages // trainer.max_epochs
        values = self.values(stage)
        self._set(trainer.datamodule.augment, values)
        if stage != self.logged and trainer.is_global_zero:
            said = ", ".join(f"{name} {value:.4g}" for name, value in values.items())
            log.info(
                "epoch %d: stage %d of %d, %s",
                trainer.current_epoch + 1,
                stage + 1,
                self.stages,
                said,
            )
        self.logged = stage

    def _shares(self, net: nn.Module) -> dict[str, dict[nn.Module, float]]:
        """The modules with a probability, and its share in the largest of their kind."""
        shares = {}
        for name in PROBABILITIES.keys() & self.spans.keys():
            modules = [each for each in net.modules() if isinstance(each, PROBABILITIES[name])]
            largest = max((module.p for module in modules), default=0)
            if largest == 0:
                raise ValueError(f"{name}: {type(net).__name__} has none above 0 that could change")
            shares[name] = {module: module.p / largest for module in modules}
        return shares

    def _set(self, augment: Any, values: dict[str, float]) -> None:
        augment.train_size = round(values["image_size"])
        if "cutout" in values:
            augment.cutout = round(values["cutout"])
        if "mix_alpha" in values:
            alpha, kind = values["mix_alpha"], type(self.mix)
            augment.mix = kind(alpha=alpha, num_classes=self.mix.num_classes) if alpha else None
        for name, shares in self.shares.items():
            for module, share in shares.items():
                module.p = share * values[name]


def _check_span(name: str, span: Span) -> None:
    low = 1 if name == "image_size" else 0
    high = 1 if name in PROBABILITIES else float("inf")
    numbers = len(span) == 2 and all(isinstance(value, int | float) for value in span)
    if not numbers or not all(low <= value < high for value in span):
        limits = f"in [0, {high})" if name in PROBABILITIES else f"of at least {low}"
        raise ValueError(
            f"{name} needs two numbers {limits}, for the first and the last stage, not {span}"
        )
