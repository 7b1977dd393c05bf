"""Our kernels for what torch's operators train slowly: narrow channels_last maps on the CPU."""

from pathlib import Path

from torch import nn

from ghostexp.kernels.decisions import FILE_NAME, Decisions
from ghostexp.layers.fast_ghost import FastGhostModule, use_fast_ghosts
from ghostexp.layers.fast_norm import FastBatchNorm2d, use_fast_norm
from ghostexp.layers.ghost import GhostModule


class FastLayers:
    """Lets our kernels train the batch norms and Ghost modules of a network where they are faster.

    What is faster is measured in the first training step, see ghostexp/kernels/decisions.py. A
    missing C++ compiler is a ValueError when this is made, before any data loads.
    """

    def __init__(self) -> None:
        self(nn.Sequential())

    def __call__(self, net: nn.Module, folder: Path | None = None) -> nn.Module:
        """Change the layers of `net` in place and return it.

        The run in `folder` keeps what was decided there, so that it decides the same when it is
        resumed. Without a folder nothing is kept but the times of this machine.
        """
        decisions = Decisions(None if folder is None else folder / FILE_NAME)
        return use_fast_ghosts(use_fast_norm(net, decisions), decisions)

    def count(self, net: nn.Module) -> tuple[int, int]:
        """Layers of a changed `net` that our kernels computed in its last step, and all layers."""
        layers = [each for each in net.modules() if isinstance(each, nn.BatchNorm2d | GhostModule)]
        ours = [each for each in layers if isinstance(each, FastBatchNorm2d | FastGhostModule)]
        return sum(each.is_ours for each in ours), len(layers)

    def describe(self, net: nn.Module) -> str:
        """How many layers each computes, in words."""
        ours, layers = self.count(net)
        return (
            f"our kernels compute {ours} of {layers} batch norms and Ghost modules in training, and"
            f" torch's operators compute {layers - ours}"
        )
