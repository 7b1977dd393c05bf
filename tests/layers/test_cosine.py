"""Cosine head against torch's cosine similarity, also under autocast."""

import torch
from torch import nn
from torch.nn import functional as F

from ghostexp.analysis.complexity import count_macs, count_params
from ghostexp.layers.cosine import CosineLinear, make_head


def test_cosines_are_torchs():
    head = CosineLinear(5, 3).double()
    embeddings = torch.randn(4, 5, dtype=torch.float64)
    expected = F.cosine_similarity(embeddings[:, None], head.weight[None], dim=2)
    torch.testing.assert_close(head(embeddings), expected, rtol=0, atol=1e-12)
    torch.testing.assert_close(head(1e-5 * embeddings), expected, rtol=0, atol=1e-12)


def test_autocast_leaves_the_precision():
    head, embeddings = CosineLinear(64, 10), torch.randn(8, 64)
    expected = head(embeddings)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(head(embeddings), expected)
        rounded = head(embeddings.bfloat16())
    assert rounded.dtype == torch.float32
    assert torch.equal(rounded, head(embeddings.bfloat16().float()))
    rounded.sum().backward()
    assert head.weight.grad.dtype == torch.float32


def test_heads_and_their_cost():
    cosine, linear = make_head(1280, 6, cosine=True), make_head(1280, 6, cosine=False)
    assert (count_params(cosine), count_params(linear)) == (7680, 7686)
    assert count_macs(nn.Sequential(cosine), (1280,)) == 7680
    assert type(linear) is nn.Linear
