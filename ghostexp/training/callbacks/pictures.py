"""Pictures of what a training sees and confuses."""

from pathlib import Path

import pytorch_lightning as pl
from pytorch_lightning.loggers import TensorBoardLogger
from torch import Tensor
from torchvision.utils import make_grid

from ghostexp.training.confusion import confusion_figure, write_confusion

GRID_IMAGES = 64


class Pictures(pl.Callback):
    """Augmented training images at the start, the confusion matrix after the test, to TensorBoard.

    The confusion matrix is also written to the run's folder, as picture and as numbers.
    """

    def __init__(self, directory: str) -> None:
        self.directory = Path(directory)

    def on_train_batch_start(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        batch: tuple[Tensor, Tensor],
        batch_idx: int,
    ) -> None:
        if batch_idx == 0 and trainer.current_epoch == 0:
            images = trainer.datamodule.augment.picture(batch[0][:GRID_IMAGES])
            grid = make_grid(images, nrow=8)
            for logger in _tensorboards(trainer):
                logger.experiment.add_image("train/augmented_images", grid, 0)

    def on_test_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        confusion = pl_module.test_confusion.compute()  # on all ranks: it reduces
        if not trainer.is_global_zero:
            return
        names = trainer.datamodule.class_names
        figure = confusion_figure(confusion.cpu().numpy(), names)
        for logger in _tensorboards(trainer):
            logger.experiment.add_figure("test/confusion", figure, trainer.current_epoch)
        figure.savefig(self.directory / "confusion.png", dpi=120)
        write_confusion(self.directory / "confusion.csv", confusion, names)


def _tensorboards(trainer: pl.Trainer) -> list[TensorBoardLogger]:
    return [logger for logger in trainer.loggers if isinstance(logger, TensorBoardLogger)]
