"""Where the maps of a convolution go, taken from autograd's graph of one forward pass.

A node of the graph is an operation, and an edge (node, number) is one of its results. An operation
that multiplies maps by weights is called mixing here. All other operations, such as norms,
activations, pooling, sums and concatenations, pass maps on.
"""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field

from torch import nn
from torch.autograd.graph import Node

Edge = tuple[Node | None, int]

MIXING = (  # beginnings of the names of autograd's nodes
    *("Convolution", "MkldnnConvolution", "SlowConv", "ThnnConv", "CudnnConvolution"),
    *("Linear", "MkldnnLinear", "Addmm", "Mm", "Bmm", "Baddbmm", "Addbmm", "Mv", "Addmv", "Dot"),
    *("ScaledDotProduct", "MkldnnRnn", "CudnnRnn"),
)
JOINING = ("Cat", "Add")
ACTIVATIONS = {  # autograd's names
    "ReluBackward": nn.ReLU,
    "HardtanhBackward": nn.ReLU6,
    "SiluBackward": nn.SiLU,
    "HardswishBackward": nn.Hardswish,
    "GeluBackward": nn.GELU,
    "LeakyReluBackward": nn.LeakyReLU,
    "EluBackward": nn.ELU,
    "MishBackward": nn.Mish,
}


@dataclass
class Recorded:
    """The calls of one forward pass, in the order in which they happened."""

    calls: list[tuple[nn.Module, Edge, tuple[int, int]]] = field(default_factory=list)
    norms: list[tuple[nn.Module, Edge]] = field(default_factory=list)  # what a batch norm reads
    roots: list[Edge] = field(default_factory=list)  # what any module gave
    outputs: list[Edge] = field(default_factory=list)  # what the network gave
    read: dict[nn.Module, str] = field(default_factory=dict)  # attributes that others read


@dataclass(frozen=True)
class Flow:
    """What became of one convolution's maps."""

    largest: tuple[int, int]  # height and width of its largest maps
    norm: nn.Module | None  # the batch norm, if it is the only reader of the maps
    owns_norm: bool  # the batch norm reads nothing else
    is_output: bool  # no layer with weights reads the maps
    in_ghost: bool  # the maps are joined with their depthwise copies
    read: str | None  # an attribute of the convolution, such as weight, that the network reads
    is_added: bool  # to other maps, before anything but the norm
    activation: type[nn.Module] | None  # the only reader behind norm and addition


def flows(recorded: Recorded, net: nn.Module) -> dict[nn.Module, Flow]:
    """The flow of each convolution of `net` that was called."""
    graph = _Graph([*recorded.roots, *recorded.outputs])
    edges: dict[nn.Module, list[Edge]] = defaultdict(list)
    sizes: dict[nn.Module, list[tuple[int, int]]] = defaultdict(list)
    for conv, edge, size in recorded.calls:
        edges[conv].append(edge)
        sizes[conv].append(size)
    intrinsic = _intrinsic(graph, recorded, net)
    readers = {edge: norm for norm, edge in recorded.norms if edge[0] is not None}
    found = {}
    for conv, made in edges.items():
        norms = {
            readers.get(edge) if graph.uses[edge] == 1 and edge not in recorded.outputs else None
            for edge in made
        }
        norm = norms.pop() if len(norms) == 1 else None
        reads = [edge for other, edge in recorded.norms if other is norm]
        is_added, activation = graph.tail(made[0][0], has_norm=norm is not None)
        found[conv] = Flow(
            largest=max(sizes[conv]),
            norm=norm,
            owns_norm=norm is not None and all(edge in made for edge in reads),
            is_output=not any(graph.reaches_mixing(node) for node, _ in made),
            in_ghost=conv in intrinsic,
            read=recorded.read.get(conv),
            is_added=is_added,
            activation=activation,
        )
    return found


class _Graph:
    """Autograd's graph with the way forward, from an operation to those that read its results."""

    def __init__(self, roots: Iterable[Edge]) -> None:
        self.readers: dict[Node, list[Node]] = defaultdict(list)
        self.uses: dict[Edge, int] = defaultdict(int)
        self.nodes: list[Node] = []
        waiting, seen = [node for node, _ in roots], set()
        while waiting:
            node = waiting.pop()
            if node is None or node in seen:
                continue
            seen.add(node)
            self.nodes.append(node)
            for edge in node.next_functions:
                if edge[0] is not None:
                    self.readers[edge[0]].append(node)
                    self.uses[edge] += 1
                    waiting.append(edge[0])

    def reaches_mixing(self, start: Node | None) -> bool:
        """Whether a mixing operation reads what `start` made, through whatever passes it on."""
        waiting, seen = list(self.readers[start]), set()
        while waiting:
            node = waiting.pop()
            if _is(node, MIXING):
                return True
            if node not in seen:
                seen.add(node)
                waiting += self.readers[node]
        return False

    def tail(self, start: Node | None, *, has_norm: bool) -> tuple[bool, type[nn.Module] | None]:
        """Whether the maps of `start` are added to others behind a norm, and their activation."""
        node = self._only_reader(start)
        if has_norm and node is not None:
            node = self._only_reader(node)
        is_added = node is not None and _is(node, "Add")
        if is_added:
            node = self._only_reader(node)
        known = [ACTIVATIONS[name] for name in ACTIVATIONS if node is not None and _is(node, name)]
        return is_added, known[0] if known else None

    def _only_reader(self, node: Node | None) -> Node | None:
        readers = self.readers[node] if node is not None else []
        return readers[0] if len(readers) == 1 else None


def _intrinsic(graph: _Graph, recorded: Recorded, net: nn.Module) -> set[nn.Module]:
    """Primary convolutions of Ghost modules of any origin.

    In a Ghost module intrinsic maps are concatenated with what depthwise convolutions make of
    them. In a RepGhost module both are added. A residual around a depthwise convolution does the
    same, so a sum counts only if some module holds these convolutions and no others.
    """
    conv_of = {edge[0]: conv for conv, edge, _ in recorded.calls if edge[0] is not None}
    cheap = {node: node.next_functions[0] for node, conv in conv_of.items() if _is_depthwise(conv)}
    units = _layers_of_modules(net) if cheap else set()
    found: set[nn.Module] = set()
    for copy, maps in cheap.items():
        for join in _joins(graph, copy, maps, cheap):
            primaries = _sources(maps)
            convs = {conv_of.get(node) for node in primaries}
            reads_one = len({node.next_functions[0] for node in primaries}) == 1  # its branches do
            copies = {conv_of[node] for node in cheap if cheap[node] == maps}
            is_ghost = _is(join, "Cat") or convs | copies in units
            if reads_one and None not in convs and is_ghost:
                found |= convs
    return found


def _joins(graph: _Graph, copy: Node, maps: Edge, cheap: dict[Node, Edge]) -> list[Node]:
    """The operations that join a depthwise copy of `maps` with `maps`, and take nothing else."""
    joins: list[Node] = []
    waiting, seen = list(graph.readers[copy]), {copy}
    while waiting:
        node = waiting.pop()
        if node in seen or _is(node, MIXING):
            continue
        seen.add(node)
        if _is(node, JOINING):
            holds_maps = _holds(node, maps, cheap)
            if holds_maps is None:
                continue
            joins += [node] * holds_maps
        waiting += graph.readers[node]
    return joins


def _holds(join: Node, maps: Edge, cheap: dict[Node, Edge]) -> bool | None:
    """Whether `join` reads `maps`; None if it reads something that is neither `maps` nor a copy."""
    waiting, holds_maps = list(join.next_functions), False
    while waiting:
        edge = waiting.pop()
        if edge == maps:
            holds_maps = True
        elif edge[0] is not None and cheap.get(edge[0]) != maps:
            if _is(edge[0], MIXING):
                return None
            waiting += edge[0].next_functions
    return holds_maps


def _sources(start: Edge) -> set[Node]:
    """The mixing operations from which `start` comes without another one between."""
    waiting, seen, sources = [start], set(), set()
    while waiting:
        node, _ = waiting.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        if _is(node, MIXING):
            sources.add(node)
        else:
            waiting += node.next_functions
    return sources


def _layers_of_modules(net: nn.Module) -> set[frozenset[nn.Module]]:
    """For each module of `net` all layers with weights that it holds."""
    kinds = (nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.ConvTranspose2d, nn.Linear)
    return {
        frozenset(layer for layer in module.modules() if isinstance(layer, kinds))
        for module in net.modules()
    }


def _is_depthwise(conv: nn.Module | None) -> bool:
    return conv is not None and conv.groups == conv.in_channels > 1


def _is(node: Node, kinds: str | tuple[str, ...]) -> bool:
    return node.name().startswith(kinds)
