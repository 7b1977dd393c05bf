"""GhostNetV2: GhostNet whose bottlenecks gate their first Ghost module with DFC attention.

"GhostNetV2: Enhance Cheap Operation with Long-Range Attention", Tang et al., NeurIPS 2022,
section 4, https://arxiv.org/abs/2211.12905. The first two bottlenecks are GhostNet's, without
attention, and the second Ghost module of a bottleneck never has attention. With 1000 classes, for
224x224 images:

    width_mult        1.0          1.3          1.6
    params      6,156,908    8,960,404   12,392,698
    macs      167,048,288  269,322,976  398,607,224
"""

from functools import partial

from ghostexp.layers.dfc import DFCAttention
from ghostexp.models.ghostnet import BLOCKS, GhostBottleneck, GhostNet, build

PLAIN_BLOCKS = 2  # the authors' choice; not printed in the paper

DFCBottleneck = partial(GhostBottleneck, attention_layer=DFCAttention)


def ghostnet_v2(
    num_classes: int = 1000,
    in_channels: int = 3,
    *,
    width_mult: float = 1.0,
    dropout: float = 0.2,
    small_input: bool = False,
    weights: str | None = None,
) -> GhostNet:
    """GhostNetV2, for images above 32x32, or above 8x8 with `small_input`.

    `ghostexp.models.ghostnet.build` explains the arguments.
    """
    return build(
        [GhostBottleneck] * PLAIN_BLOCKS + [DFCBottleneck] * (len(BLOCKS) - PLAIN_BLOCKS),
        num_classes,
        in_channels,
        width_mult=width_mult,
        dropout=dropout,
        small_input=small_input,
        weights=weights,
    )
