"""A detector's predictions against the truth, as they get better."""

from pathlib import Path

import pytorch_lightning as pl

from ghostexp.analysis.detections import above, detect
from ghostexp.pictures.boxes import DPI, compare
from ghostexp.training.tensorboard import tensorboards
from ghostexp.training.watching import going_on


class BoxPictures(pl.Callback):
    """Draws the truth and the predictions of a few images every few epochs and after the last.

    The images are the first of the validation split, or of the test split where there is none. The
    picture goes to TensorBoard and, the latest one, to `detections.png` in `directory`. Predictions
    below `min_score` are not drawn.
    """

    def __init__(
        self,
        directory: str,
        *,
        every_n_epochs: int = 5,
        num_images: int = 4,
        min_score: float = 0.5,
    ) -> None:
        for name, value in (("every_n_epochs", every_n_epochs), ("num_images", num_images)):
            if not isinstance(value, int) or value < 1:
                raise ValueError(f"{name} must be a whole number of at least 1, not {value}")
        if not isinstance(min_score, int | float) or not 0 <= min_score <= 1:
            raise ValueError(f"min_score is a share from 0 to 1, not {min_score}")
        self.directory = Path(directory)
        self.every_n_epochs = every_n_epochs
        self.num_images = num_images
        self.min_score = min_score

    def check(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        datamodule: pl.LightningDataModule,
    ) -> None:
        """ValueError where the network detects nothing."""
        if "test/map" not in pl_module.logged_metrics:
            raise ValueError("pictures: BoxPictures shows boxes, so it needs task=detection")

    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        data = trainer.datamodule
        loader = data.val_dataloader() if data.has_validation else data.test_dataloader()
        images, targets = next(iter(loader))
        self.images, self.targets = images[: self.num_images], targets[: self.num_images]

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        done = trainer.current_epoch + 1
        is_due = done % self.every_n_epochs == 0 or done == trainer.max_epochs
        if trainer.is_global_zero and is_due:
            with going_on("the picture of detections"):
                self._draw(trainer, pl_module)

    def _draw(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        images = [image.to(pl_module.device) for image in self.images]
        detections = [above(each, self.min_score) for each in detect(pl_module.net, images)]
        class_names = trainer.datamodule.class_names
        figure = compare(self.images, self.targets, detections, class_names)
        figure.savefig(self.directory / "detections.png", dpi=DPI)
        for logger in tensorboards(trainer):  # at the step of the epoch's own metrics
            logger.add_picture("detections", figure, trainer.global_step - 1)
