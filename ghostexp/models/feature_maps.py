"""A network without its head, which gives its last map of each resolution."""

from collections.abc import Iterator

from torch import Tensor, fx, nn, zeros
from torch.fx.passes.shape_prop import ShapeProp


class FeatureMaps(nn.Module):
    """Images [N, C, H, W] -> the last map of each resolution, from the finest to the coarsest.

    A map counts where everything that follows goes through it, so that a map within a block does
    not. `channels` and `reductions` say of each map how many channels it has, and how many times
    smaller than the image it is. The parameters stay parameters of `net`. ValueError for a network
    that torch.fx cannot trace.
    """

    def __init__(self, net: nn.Module, input_shape: tuple[int, int, int]) -> None:
        super().__init__()
        training = net.training
        try:
            traced = fx.symbolic_trace(net.eval())
        except Exception as error:  # of any kind: the network's code runs
            raise ValueError(f"{type(net).__name__} cannot be traced: {error}") from error
        ShapeProp(traced).propagate(zeros(1, *input_shape))
        last = {_shape(node)[2]: node for node in _bottlenecks(traced.graph)}  # by height
        heights = sorted(last, reverse=True)
        self.channels = [_shape(last[height])[1] for height in heights]
        self.reductions = [input_shape[1] // height for height in heights]
        _end_in(traced, [last[height] for height in heights])
        self.body = traced.train(training)

    def forward(self, images: Tensor) -> list[Tensor]:
        return self.body(images)


def _bottlenecks(graph: fx.Graph) -> Iterator[fx.Node]:
    """Maps of more than one pixel that no path from input to output goes around, in order."""
    place = {node: index for index, node in enumerate(graph.nodes)}
    farthest = 0  # place of the last node that reads a node before this one
    for node, index in place.items():
        is_map = node.op != "placeholder" and len(_shape(node)) == 4 and _shape(node)[2] > 1
        if is_map and farthest <= index:
            yield node
        farthest = max([farthest, *(place[user] for user in node.users)])


def _shape(node: fx.Node) -> tuple[int, ...]:
    return tuple(getattr(node.meta.get("tensor_meta"), "shape", ()))


def _end_in(traced: fx.GraphModule, nodes: list[fx.Node]) -> None:
    """Let the network return `nodes`, and drop what follows them."""
    (output,) = (node for node in traced.graph.nodes if node.op == "output")
    output.args = (nodes,)
    for node in reversed(traced.graph.nodes):
        if node.op not in ("placeholder", "output") and not node.users:
            traced.graph.erase_node(node)
    traced.delete_all_unused_submodules()
    traced.recompile()
