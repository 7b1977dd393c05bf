"""Cosine head: how far each class's direction is from the embedding's, for losses with a margin.

"NormFace: L2 Hypersphere Embedding for Face Verification", Wang et al. 2017, section 3,
https://arxiv.org/abs/1704.06369; ArcFace and Circle loss (ghostexp/training/losses.py) take it.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class CosineLinear(nn.Linear):
    """Cosines [N, classes] of embeddings [N, features] and the rows of `weight`, in [-1, 1].

    At least in float32, under autocast too: bfloat16 has three digits, less than a margin needs.
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
