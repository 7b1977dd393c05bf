"""What a native training step computes: convolutions with batch norms, poolings, in their order.

A source is what a layer reads: relu(norm(maps) + residual), or maps as they are. Sources are not
stored, except where several layers read one; each layer computes them again from the maps of the
convolution before.
"""

from dataclasses import dataclass
from functools import cached_property

from torch import nn


@dataclass(frozen=True, eq=False)
class Maps:
    """A value in memory, [channels, height, width] for each image."""

    channels: int
    height: int
    width: int

    @property
    def pixels(self) -> int:
        return self.height * self.width


@dataclass(frozen=True, eq=False)
class Term:
    """Maps of a convolution behind `norm`, or other maps as they are."""

    maps: Maps
    norm: nn.BatchNorm2d | None = None


@dataclass(frozen=True, eq=False)
class View:
    """A residual: every `step`-th pixel of a value, behind `first` channels of zeros.

    The value is a source that a layer has stored, or a convolution's maps behind their norm.
    """

    value: "Source | Term"
    first: int = 0
    step: int = 1


@dataclass(frozen=True, eq=False)
class Source:
    """What a layer reads: relu(main + residual); a convolution made its main maps, or a pooling."""

    main: Term
    residual: View | None = None
    relu: bool = False

    @property
    def maps(self) -> Maps:
        return self.main.maps


@dataclass(frozen=True, eq=False)
class Conv:
    """A convolution padded by k // 2, or with `cheap` a Ghost module without norms inside.

    A bias of `primary` is cancelled by the batch norm behind it: it moves the running mean only.
    """

    inputs: Source
    outputs: Maps
    primary: nn.Conv2d
    cheap: nn.Conv2d | None = None


@dataclass(frozen=True, eq=False)
class MaxPool:
    """The largest of `window` x `window` values, every `window` pixels."""

    inputs: Source
    outputs: Maps
    window: int


@dataclass(frozen=True, eq=False)
class MeanPool:
    """The mean of each channel, [N, channels, 1, 1]: the end of what our kernels compute."""

    inputs: Source


Step = Conv | MaxPool | MeanPool


@dataclass(frozen=True)
class Plan:
    """Steps in the order of computation, from `images` to a mean pool."""

    images: Maps
    steps: list[Step]

    @cached_property
    def convs(self) -> list[Conv]:
        return [step for step in self.steps if isinstance(step, Conv)]

    @cached_property
    def norms(self) -> dict[Maps, nn.BatchNorm2d]:
        """The batch norm behind each convolution's outputs."""
        terms = [term for step in self.steps for term in _terms(step.inputs)]
        return {term.maps: term.norm for term in terms if term.norm is not None}

    @cached_property
    def parameters(self) -> list[nn.Parameter]:
        """All parameters that the steps read."""
        layers = [layer for conv in self.convs for layer in (conv.primary, conv.cheap)]
        layers += self.norms.values()
        return [each for layer in layers if layer is not None for each in layer.parameters()]

    @cached_property
    def stored(self) -> set[Source]:
        """Sources that their first layer stores for the layers behind: those read again."""
        seen, stored = set(), set()
        for step in self.steps:
            view = step.inputs.residual
            if view is not None and isinstance(view.value, Source):
                stored.add(view.value)
            (stored if step.inputs in seen else seen).add(step.inputs)
        return {source for source in stored if source.main.norm is not None}


def _terms(source: Source) -> list[Term]:
    view = source.residual
    return [source.main, view.value] if view and isinstance(view.value, Term) else [source.main]
