"""Fine-tuning: a part of the network learns, the rest keeps its weights and statistics.

Learning rates that fall from layer to layer are `layerwise_groups` in ghostexp/training/optim.py.
"""

import logging

import pytorch_lightning as pl
from torch import nn
from torch.nn.modules.batchnorm import _NormBase

from ghostexp.training.blocks import blocks

log = logging.getLogger(__name__)

ALL = -1


class Freeze(pl.Callback):
    """Trains the head and the last blocks of the network; their number may change with the epoch.

    `blocks_by_epoch` maps an epoch to the number of blocks that train from this epoch on, besides
    the head; -1 stands for all. The epoch is the number of epochs that are done before it. For
    example, {0: 2} trains the last two blocks from start to end, and {0: 0, 5: 2, 10: -1} thaws the
    network in three stages. A stage may also freeze blocks again. The function `blocks` says what
    the blocks are.

    Frozen blocks keep their weights and the statistics of their batch norms to the last bit: they
    get no gradient, so that the optimizer does not touch them, not even by decay or momentum, and
    their norms are in eval mode. Dropout and stochastic depth stay as they are. Parameters that the
    network itself keeps from training stay frozen. What is frozen depends only on the epoch, so a
    resumed run goes on like an undisturbed one.

    On several devices only one stage is possible, because DDP decides at the start which gradients
    it reduces.
    """

    def __init__(self, blocks_by_epoch: dict[int, int]) -> None:
        for epoch, count in blocks_by_epoch.items():
            if not (isinstance(epoch, int) and epoch >= 0):
                raise ValueError(
                    f"blocks_by_epoch: an epoch is a whole number of at least 0, not {epoch!r}"
                )
            if not (isinstance(count, int) and count >= ALL):
                raise ValueError(
                    f"blocks_by_epoch: epoch {epoch} trains a whole number of blocks besides the"
                    f" head, or -1 for all, not {count}"
                )
        if 0 not in blocks_by_epoch:
            raise ValueError(
                f"blocks_by_epoch must say what trains from epoch 0 on, not {blocks_by_epoch}"
            )
        self.blocks_by_epoch = blocks_by_epoch
        self.fixed: set[int] | None = None  # ids of parameters that the network keeps from training
        self.logged: int | None = None

    def trainable_blocks(self, epoch: int) -> int:
        """Blocks that train besides the head in an epoch, -1 for all."""
        return self.blocks_by_epoch[max(start for start in self.blocks_by_epoch if start <= epoch)]

    def check(self, trainer: pl.Trainer, pl_module: pl.LightningModule, datamodule: object) -> None:
        """ValueError where the network has too few blocks, or a stage cannot come into force."""
        available = len(blocks(pl_module.net)) - 1
        for epoch, count in self.blocks_by_epoch.items():
            if count > available:
                raise ValueError(
                    f"blocks_by_epoch: {type(pl_module.net).__name__} has {available} blocks"
                    f" besides its head, so from epoch {epoch} on {count} cannot train"
                )
        if len(self.blocks_by_epoch) > 1 and trainer.world_size > 1:
            raise ValueError(
                "blocks_by_epoch: on several devices one stage is possible, as DDP fixes at the"
                f" start whose gradients it reduces, not {self.blocks_by_epoch}"
            )

    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        """Freeze before DDP and the model summary look at the network."""
        if stage != "fit":
            return
        self.check(trainer, pl_module, None)
        if self.fixed is None:
            parameters = pl_module.net.parameters()
            self.fixed = {id(each) for each in parameters if not each.requires_grad}
        for epoch in self.blocks_by_epoch:
            if epoch >= trainer.max_epochs:
                log.warning("epoch %d is past the last of %d epochs", epoch, trainer.max_epochs)
        self._freeze_parameters(pl_module.net, trainer.current_epoch)

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        epoch, net = trainer.current_epoch, pl_module.net
        self._freeze_parameters(net, epoch)
        for block, trains in self._split(net, epoch):
            for module in block.modules():
                if isinstance(module, _NormBase):
                    module.train(trains)  # Lightning takes modes up again after a validation
        count = self.trainable_blocks(epoch)
        if count != self.logged and trainer.is_global_zero:
            log.info("epoch %d: %s", epoch + 1, describe(net))
        self.logged = count

    def _split(self, net: nn.Module, epoch: int) -> list[tuple[nn.Module, bool]]:
        """Blocks, and whether they train."""
        count = self.trainable_blocks(epoch)
        found = blocks(net)
        first = 0 if count == ALL else len(found) - 1 - count
        return [(block, index >= first) for index, block in enumerate(found)]

    def _freeze_parameters(self, net: nn.Module, epoch: int) -> None:
        for block, trains in self._split(net, epoch):
            for parameter in block.parameters():
                parameter.requires_grad = trains and id(parameter) not in self.fixed
                if not parameter.requires_grad:
                    parameter.grad = None  # an optimizer's step passes over what has none


def describe(net: nn.Module) -> str:
    """`3 of 18 blocks train, 1,234,567 of 5,182,508 parameters`; the head counts as a block."""
    parts = blocks(net)
    trained = [any(each.requires_grad for each in block.parameters()) for block in parts]
    sizes = [(each.numel(), each.requires_grad) for each in net.parameters()]
    return (
        f"{sum(trained)} of {len(parts)} blocks train,"
        f" {sum(size for size, trains in sizes if trains):,}"
        f" of {sum(size for size, _ in sizes):,} parameters"
    )
