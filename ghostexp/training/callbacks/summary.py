"""What a person sees of the network before a fit: its parts, their parameters and multiply-adds."""

from collections import Counter
from collections.abc import Sequence

import pytorch_lightning as pl
from rich import get_console
from rich.table import Table
from torch import nn

from ghostexp.analysis.complexity import count_params, count_trainable_params, layer_table


class NetworkSummary(pl.Callback):
    """Prints the network's parts with their params and macs before a fit.

    Lightning's own summary has a column of FLOPs, which stays 0.
    """

    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if trainer.is_global_zero:
            get_console().print(summarize(pl_module.net, trainer.datamodule.input_shape))


def summarize(net: nn.Module, input_shape: Sequence[int]) -> Table:
    """A row for each child of `net`, and one of sums; macs are for one input of (C, H, W)."""
    macs: Counter[str] = Counter()
    for row in layer_table(net, input_shape):
        macs[row.name.split(".")[0]] += row.macs
    table = Table("part", "type", show_footer=True)
    table.columns[0].footer, table.columns[1].footer = "all", type(net).__name__
    totals = (count_params(net), count_trainable_params(net), macs.total())
    for header, total in zip(("params", "trainable", "macs"), totals, strict=True):
        table.add_column(header, f"{total:,}", justify="right")
    for name, part in net.named_children():
        counts = (count_params(part), count_trainable_params(part), macs[name])
        table.add_row(name, type(part).__name__, *(f"{count:,}" for count in counts))
    return table
