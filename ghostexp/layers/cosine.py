"""Cosine head: the cosine of the angle between an embedding and the direction of each class.

"NormFace: L2 Hypersphere Embedding for Face Verification", Wang et al. 2017, section 3,
https://arxiv.org/abs/1704.06369. Losses with a margin need it, such as ArcFace and Circle loss in
ghostexp/training/losses.py.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class CosineLinear(nn.Linear):
    """Cosines [N, classes], in [-1, 1], of embeddings [N, features] with the rows of `weight`.

    They are computed at least in float32, also under autocast: bfloat16 has about three digits,
    which is less than a margin needs.
    """

    def __init__(self, in_features: int, out_features: int) -> None:
        super().__init__(in_features, out_features, bias=False)

    def forward(self, embeddings: Tensor) -> Tensor:
        precise = torch.promote_types(embeddings.dtype, torch.float32)
        with torch.autocast(embeddings.device.type, enabled=False):
            directions = F.normalize(self.weight.to(precise))
            return F.linear(F.normalize(embeddings.to(precise)), directions)


def make_head(in_features: int, num_classes: int, *, cosine: bool) -> nn.Linear:
    """The last layer of a classifier: cosines without a bias, or logits with one."""
    return CosineLinear(in_features, num_classes) if cosine else nn.Linear(in_features, num_classes)
