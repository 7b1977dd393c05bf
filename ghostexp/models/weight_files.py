"""Files of trained weights, in the forms that people have, read to a plain state dict.

The forms are bare state dicts, the checkpoints of this project, of Lightning, timm and torchvision,
and safetensors. Files are read as plain data. A file that pickles anything else is refused, and
nothing of it is executed.
"""

import argparse
import logging
from collections.abc import Set
from pathlib import Path

from torch import Tensor

from ghostexp.files.tensors import read_tensors

log = logging.getLogger(__name__)

# where checkpoints keep weights; averaged ones come first, as in timm: those are reported
PLACES = (
    *("state_dict_ema", "model_ema", "ema_state_dict", "state_dict", "model_state_dict"),
    *("model", "net", "network"),
)
WRAPPERS = ("module.", "model.", "net.", "network.")  # a network inside of another object
COMPILED = "_orig_mod."  # torch.compile's, around any part of a network
# thop leaves counters in a network that it has counted, and torch's averaging leaves one as well
NO_WEIGHTS = {"total_ops", "total_params", "n_averaged"}
SAFETENSORS = ".safetensors"

State = dict[str, Tensor]


def read_state(path: Path, own: Set[str] = frozenset()) -> State:
    """State dict in a file; one line of the log says what was chosen and what was dropped.

    `own` are the names in the network's state dict: a wrapper that they begin with is not taken
    off. ValueError where the file holds no weights.
    """
    place, state = _find(_read(path), path)
    notes = [] if place is None else [f"{place} is taken"]
    weights = {name: v for name, v in state.items() if name.rpartition(".")[2] not in NO_WEIGHTS}
    if len(weights) < len(state):
        notes.append(f"{len(state) - len(weights)} counters of thop or of averaging are dropped")
    weights, dropped = _unwrap(weights, own, notes)
    if dropped:
        notes.append(f"entries of other parts are dropped: {len(dropped)}, such as {dropped[0]}")
    if notes:
        log.info("%s: %s", path, ", ".join(notes))
    return weights


def _find(content: object, path: Path) -> tuple[str | None, State]:
    """The state dict of a file's content, and the key where it lies, if it is not bare."""
    if isinstance(content, dict):
        if _is_state(content):
            return None, content
        for place in PLACES:
            if _is_state(content.get(place)):
                return place, content[place]
    raise ValueError(
        f"{path} holds no state dict, which is a tensor for each name, neither bare nor as"
        f" {', '.join(PLACES)}"
    )


def _is_state(content: object) -> bool:
    return (
        isinstance(content, dict)
        and len(content) > 0
        and all(isinstance(value, Tensor) for value in content.values())
    )


def _unwrap(state: State, own: Set[str], notes: list[str]) -> tuple[State, list[str]]:
    """Names without what wraps the whole network, and the entries outside of the network."""
    dropped: list[str] = []
    if any(COMPILED in name for name in state):
        notes.append(f"{COMPILED} is taken off the names")
        state = {name.replace(COMPILED, ""): value for name, value in state.items()}
    while wrapper := _wrapper(state, own):
        notes.append(f"{wrapper} is taken off the names")
        dropped += [name for name in state if not name.startswith(wrapper)]
        state = {
            name.removeprefix(wrapper): value
            for name, value in state.items()
            if name.startswith(wrapper)
        }
    return state, dropped


def _wrapper(state: State, own: Set[str]) -> str | None:
    """The first wrapper that more than half of the names begin with.

    Not all names need it, because a task keeps its loss beside its network.
    """
    for wrapper in WRAPPERS:
        is_own = any(name.startswith(wrapper) for name in own)
        if not is_own and 2 * sum(name.startswith(wrapper) for name in state) > len(state):
            return wrapper
    return None


def _read(path: Path) -> object:
    if path.suffix == SAFETENSORS:
        return _read_safetensors(path)
    # a Namespace is the plain object that timm keeps a training's options in
    return read_tensors(path, classes=[argparse.Namespace])


def _read_safetensors(path: Path) -> State:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return load_file(path)
    except (SafetensorError, OSError) as error:
        raise ValueError(f"{path} cannot be read as weights: {error}") from error
