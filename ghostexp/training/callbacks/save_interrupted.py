"""The weights of a fit that ends early."""

import signal

import pytorch_lightning as pl


class SaveInterrupted(pl.Callback):
    """Saves the weights as they are when a fit ends by Ctrl-C, SIGTERM or an error.

    They are for looking at: a resumed run goes on from `last.ckpt`, at an epoch's end, because
    only from there its final weights are those of an undisturbed run. Of several processes nothing
    is saved, because it takes all of them at once, and SIGTERM is a Ctrl-C: Lightning's handler
    broadcasts amid whatever the others exchange, and hangs.
    """

    def __init__(self, path: str) -> None:
        self.path = path

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if trainer.world_size > 1:  # Lightning puts the earlier handler back after the fit
            signal.signal(signal.SIGTERM, signal.default_int_handler)

    def on_exception(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException
    ) -> None:
        alone = trainer.world_size == 1
        if alone and trainer.state.fn == "fit" and trainer.global_step > 0:
            trainer.save_checkpoint(self.path)
