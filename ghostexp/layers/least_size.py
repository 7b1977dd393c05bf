"""The least size of maps, told in one sentence, in a way that torch.fx can trace.

A forward that compares sizes itself stops torch.fx, which has no sizes to compare. Who calls this
function declares it to torch.fx as one step: `torch.fx.wrap("check_size")`.
"""

from torch import Tensor


def check_size(maps: Tensor, least: int, rule: str) -> None:
    """ValueError that begins with `rule` where a side of maps [N, C, H, W] is below `least`."""
    height, width = maps.shape[-2:]
    if height < least or width < least:
        raise ValueError(f"{rule}, not {height}x{width}")
