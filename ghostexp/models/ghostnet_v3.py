"""GhostNetV3: GhostNetV2 whose Ghost modules and strided convolutions train as sums of branches.

"GhostNetV3: Exploring the Training Strategies for Compact Models", Liu et al. 2024,
https://arxiv.org/abs/2404.11202. Stem, shortcuts, DFC attention and head have no branches.
`fuse_branches` gives the deployed form. It is GhostNetV2's network with the same macs; only the
batch norms behind the fused convolutions have become biases. With 1000 classes, for 224x224 images:

    width_mult                 0.5          1.0          1.3          1.6
    params, training     3,395,384    8,129,028   12,217,720   17,275,700
    params, deployed     2,853,176    6,147,588    8,948,296   12,377,778
    macs, training     117,528,000  404,128,320  654,842,824  971,574,612
    macs, deployed      49,640,656  167,048,288  269,322,976  398,607,224
"""

from functools import partial

from ghostexp.layers.dfc import DFCAttention
from ghostexp.layers.rep_ghost import RepConv, fuse_branches, rep_ghost
from ghostexp.models.ghostnet import BLOCKS, GhostBottleneck, GhostNet, build
from ghostexp.models.ghostnet_v2 import PLAIN_BLOCKS

__all__ = ["fuse_branches", "ghostnet_v3"]

RepBottleneck = partial(GhostBottleneck, ghost_layer=rep_ghost, conv_layer=RepConv)
RepDFCBottleneck = partial(RepBottleneck, attention_layer=DFCAttention)


def ghostnet_v3(
    num_classes: int = 1000,
    in_channels: int = 3,
    *,
    width_mult: float = 1.0,
    dropout: float = 0.2,
    small_input: bool = False,
    weights: str | None = None,
) -> GhostNet:
    """GhostNetV3 in its training form, for images above 32x32, or above 8x8 with `small_input`.

    `ghostexp.models.ghostnet.build` explains the arguments.
    """
    return build(
        [RepBottleneck] * PLAIN_BLOCKS + [RepDFCBottleneck] * (len(BLOCKS) - PLAIN_BLOCKS),
        num_classes,
        in_channels,
        width_mult=width_mult,
        dropout=dropout,
        small_input=small_input,
        weights=weights,
    )
