"""Intrinsic maps and ghosts of one image, as they form."""

import pytorch_lightning as pl

from ghostexp.analysis.features import choose_layer
from ghostexp.pictures.ghosts import picture_ghosts
from ghostexp.training.tensorboard import tensorboards
from ghostexp.training.watching import going_on


class FeaturePictures(pl.Callback):
    """Logs intrinsic maps and ghosts of a test image to TensorBoard every few epochs.

    `layer` is the name of a Ghost module; None stands for the first. `index` is the number of the
    test image, from 0.
    """

    def __init__(
        self, *, index: int = 0, layer: str | None = None, every_n_epochs: int = 1
    ) -> None:
        if not isinstance(every_n_epochs, int) or every_n_epochs < 1:
            raise ValueError(
                f"every_n_epochs must be a whole number of at least 1, not {every_n_epochs}"
            )
        if not isinstance(index, int) or index < 0:
            raise ValueError(f"index of a test image is a whole number of at least 0, not {index}")
        self.index = index
        self.layer = layer
        self.every_n_epochs = every_n_epochs

    def check(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        datamodule: pl.LightningDataModule,
    ) -> None:
        """ValueError where the network lacks the Ghost module, or the data are not pictures."""
        choose_layer(pl_module.net, self.layer)
        if not hasattr(getattr(datamodule, "augment", None), "picture"):
            raise ValueError(
                "features: FeaturePictures shows an input of a classification, and"
                f" {type(datamodule).__name__} has no augment with picture()"
            )

    def check_examples(self, num_test: int) -> None:
        """ValueError where there is no test image of this number."""
        if self.index >= num_test:
            raise ValueError(
                f"features: index is the number of a test image, 0 to {num_test - 1}, not"
                f" {self.index}"
            )

    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self.layer = choose_layer(pl_module.net, self.layer)
        self.example, _ = trainer.datamodule.test_example(self.index)

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        is_due = (trainer.current_epoch + 1) % self.every_n_epochs == 0
        if trainer.is_global_zero and is_due and tensorboards(trainer):
            with going_on("the picture of features"):
                self._draw(trainer, pl_module)

    def _draw(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        augment = trainer.datamodule.augment
        inputs = augment.evaluate(self.example[None].to(pl_module.device))
        picture = augment.picture(inputs)[0].cpu()
        figure, _ = picture_ghosts(pl_module.net, self.layer, inputs, picture)
        for logger in tensorboards(trainer):  # at the step of the epoch's own metrics
            logger.add_picture(f"features/{self.layer}", figure, trainer.global_step - 1)
