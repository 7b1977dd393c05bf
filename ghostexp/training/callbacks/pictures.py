"""Pictures of what a training sees and confuses."""

from pathlib import Path

import pytorch_lightning as pl
from torch import Tensor
from torchvision.utils import make_grid

from ghostexp.pictures.confusion import confusion_figure, write_confusion
from ghostexp.training.tensorboard import tensorboards
from ghostexp.training.watching import going_on

GRID_IMAGES = 64


class Pictures(pl.Callback):
    """Augmented training images at the start, the confusion matrix after the test, to TensorBoard.

    The confusion matrix is also written to the run's folder, as picture and as numbers.
    """

    def __init__(self, directory: str) -> None:
        self.directory = Path(directory)

    def check(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        datamodule: pl.LightningDataModule,
    ) -> None:
        """ValueError where there are no classes to confuse, or no pictures of the inputs."""
        missing = []
        if not hasattr(pl_module, "test_confusion"):
            missing.append("a task with test_confusion")
        if not hasattr(getattr(datamodule, "augment", None), "picture"):
            missing.append("a data set whose augment has picture()")
        if missing:
            raise ValueError(
                f"pictures: Pictures needs {' and '.join(missing)}; callbacks.pictures=null leaves"
                " it out, and callbacks=detection shows boxes"
            )

    def on_train_batch_start(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        batch: tuple[Tensor, Tensor],
        batch_idx: int,
    ) -> None:
        if batch_idx == 0 and trainer.current_epoch == 0 and tensorboards(trainer):
            with going_on("the picture of training images"):
                images = trainer.datamodule.augment.picture(batch[0][:GRID_IMAGES])
                grid = make_grid(images, nrow=8)
                for logger in tensorboards(trainer):
                    logger.experiment.add_image("train/augmented_images", grid, 0)

    def on_test_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        confusion = pl_module.test_confusion.compute()  # on all ranks: it reduces
        if not trainer.is_global_zero:
            return
        names = trainer.datamodule.class_names
        with going_on("the confusion matrix"):
            write_confusion(self.directory / "confusion.csv", confusion, names)
            figure = confusion_figure(confusion.cpu().numpy(), names)
            figure.savefig(self.directory / "confusion.png", dpi=120)
            for logger in tensorboards(trainer):
                logger.add_picture("test/confusion", figure, trainer.global_step)
