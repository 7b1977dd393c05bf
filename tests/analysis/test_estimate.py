"""The cost of a step against what a convolution must keep."""

from torch import nn

from ghostexp.analysis.estimate import step_cost


def test_activations_are_what_the_layers_keep_and_grow_with_the_batch():
    def cost(batch_size):
        net = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1, bias=False), nn.ReLU())
        return step_cost(
            net,
            lambda images: net(images).sum(),
            (3, 16, 16),
            batch_size=batch_size,
            bf16=False,
        )

    images, maps = 3 * 16 * 16 * 4, 8 * 16 * 16 * 4  # bytes of one example; weights do not count
    small, large = cost(4), cost(8)
    assert small.activation_bytes == 4 * (images + maps)
    assert large.activation_bytes == 8 * (images + maps)
    assert small.seconds > 0
