"""Trained weights for a network: from the authors, torchvision, timm, or one of our runs.

load_weights(net, "ghostnet_1.0")       published weights; see published.py
load_weights(net, "RUN/checkpoints/best.ckpt")
load_weights(net, "timm.pth")           made by torch.save of the state dict of a network of timm's

Entries are matched by their names. Entries whose names differ are matched by their order, because
timm gives the same layers other names. weight_files.py says which forms of files are read.
"""

import logging
from dataclasses import dataclass
from typing import TypeVar

from torch import nn

from ghostexp.models.published import PUBLISHED, locate
from ghostexp.models.weight_files import SAFETENSORS, State, read_state

log = logging.getLogger(__name__)

N = TypeVar("N", bound=nn.Module)

COUNTER = "num_batches_tracked"  # of a batch norm; some files lack it
NAMES_IN_AN_ERROR = 4


@dataclass(frozen=True)
class LoadReport:
    """What was loaded: every entry of the network but those in `new`, a head of other classes.

    `by_order` is how many of the `loaded` entries have another name in the source and were matched
    by their order.
    """

    source: str
    loaded: int
    by_order: int
    new: tuple[str, ...]

    def __str__(self) -> str:
        text = f"{self.loaded} entries of weights={self.source} loaded"
        if self.by_order:
            text += f", {self.by_order} of them by their order because their names differ"
        if self.new:
            text += f"; {', '.join(self.new)} are new, because the file has other classes or none"
        return text


def load_weights(net: nn.Module, source: str) -> LoadReport:
    """Load the weights that `source` names into `net`: published weights, or a file.

    Every entry must fit, else ValueError. Only the last linear layer may stay new: if the number of
    classes differs, or if the file has no classifier.
    """
    return load_state(net, read_weights(net, source), source)


def with_weights(net: N, source: str | None) -> N:
    """`net` with the weights of `load_weights`, or as it is where `source` is None."""
    if source is not None:
        load_weights(net, source)
    return net


def read_weights(net: nn.Module, source: str) -> State:
    """State dict for `net` from the `source` of `load_weights`: a published name, or a file."""
    return read_state(locate(source), own=net.state_dict().keys())


def load_state(net: nn.Module, given: State, source: str) -> LoadReport:
    """Load `given`, which came from `source`, into `net`, by the rules of `load_weights`."""
    own = net.state_dict()
    if not any(name.endswith(COUNTER) for name in given):
        own = {name: value for name, value in own.items() if not name.endswith(COUNTER)}
    given, by_order = _renamed(net, own, given, source)
    new = _check_fit(net, own, given, source)
    net.load_state_dict({name: given[name] for name in own if name not in new}, strict=False)
    report = LoadReport(source, len(own) - len(new), by_order, new)
    log.info("%s", report)
    return report


def _renamed(net: nn.Module, own: State, given: State, source: str) -> tuple[State, int]:
    """`given` under the names of `own`, and how many entries had another name.

    Entries whose name is in both keep it. The rest is matched by order, if the kinds (weight,
    running_mean, ...) and the shapes agree one by one. If they do not, the names stay, and the
    check that follows names them as misfits.
    """
    head = _head(net) & own.keys()
    mine = [name for name in own if name not in given]
    theirs = [name for name in given if name not in own]
    if source.endswith(SAFETENSORS) or not theirs:  # a safetensors file is sorted by name
        return given, 0
    if len(mine) != len(theirs) and head <= set(mine):
        mine = [name for name in mine if name not in head]  # a backbone without its classifier
    if len(mine) != len(theirs):
        return given, 0
    for name, other in zip(mine, theirs, strict=True):
        same_shape = own[name].shape == given[other].shape or name in head
        if _kind(name) != _kind(other) or not same_shape:
            return given, 0
    names = dict(zip(theirs, mine, strict=True))
    return {names.get(name, name): value for name, value in given.items()}, len(names)


def _check_fit(net: nn.Module, own: State, given: State, source: str) -> tuple[str, ...]:
    """Entries of a head for other classes; ValueError if anything else does not fit."""
    head = _head(net) & own.keys()
    missing = [name for name in own if name not in given]
    if set(missing) == head:
        missing = []
    unexpected = [name for name in given if name not in own]
    unlike = [name for name in own if name in given and own[name].shape != given[name].shape]
    new = tuple(
        name
        for name in own
        if name in head
        and (name not in given or name in unlike and own[name].shape[1:] == given[name].shape[1:])
    )
    shapes = [
        f"{name} {list(given[name].shape)} instead of {list(own[name].shape)}"
        for name in unlike
        if name not in new
    ]
    found = {"missing": missing, "unexpected": unexpected, "of another shape": shapes}
    if any(found.values()):
        parts = [f"{len(names)} {what} ({_some(names)})" for what, names in found.items() if names]
        raise ValueError(f"weights={source} do not fit{_hint(source)}: {', '.join(parts)}")
    return new


def _head(net: nn.Module) -> set[str]:
    linear = [name for name, module in net.named_modules() if isinstance(module, nn.Linear)]
    return {f"{linear[-1]}.weight", f"{linear[-1]}.bias"} if linear else set()


def _kind(name: str) -> str:
    return name.rpartition(".")[2]


def _some(names: list[str]) -> str:
    return ", ".join(names[:NAMES_IN_AN_ERROR]) + (", ..." if names[NAMES_IN_AN_ERROR:] else "")


def _hint(source: str) -> str:
    return f" (they are for {PUBLISHED[source].fits})" if source in PUBLISHED else ""
