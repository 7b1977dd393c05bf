"""The cost of a step against what a convolution must keep."""

from torch import nn

from ghostexp.analysis.estimate import step_cost


def test_activations_are_what_the_layers_keep_and_grow_with_the_batch():
    def cost(batch_size):
        net = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1, bias=False), nn.ReLU(), nn.Flatten())
        return step_cost(
            net,
            lambda images: net(images).square().mean(),
            (3, 16, 16),
            batch_size=batch_size,
            bf16=False,
        )

    images, maps, weights = 3 * 16 * 16 * 4, 8 * 16 * 16 * 4, 8 * 3 * 9 * 4
    small, large = cost(4), cost(8)
    assert large.activation_bytes - small.activation_bytes >= 4 * (images + maps)
    assert small.activation_bytes >= 4 * (images + maps) + weights
    assert small.seconds > 0
