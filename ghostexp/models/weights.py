"""Trained weights for a network: the authors', timm's, or those of a run of ours.

load_weights(net, "ghostnet_1.0")       published weights, fetched once; see PUBLISHED
load_weights(net, "RUN/checkpoints/best.ckpt")
load_weights(net, "timm.pth")           torch.save(timm's network.state_dict()): by its order

Files are read as plain data: a pickle of anything else is not run but refused.
"""

import logging
import os
import pickle
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from ghostexp.download import fetch

log = logging.getLogger(__name__)

GITHUB = "https://github.com/huawei-noah/Efficient-AI-Backbones"
COUNTER = "num_batches_tracked"  # of batch norm; files of other sources may lack it
NAMES_IN_AN_ERROR = 4

State = dict[str, Tensor]


@dataclass(frozen=True)
class Published:
    """A file of trained weights: where it is, its SHA-256 or the first digits, what it fits."""

    url: str
    sha256: str | None
    fits: str


PUBLISHED = {  # of the papers' authors, for ImageNet; top-1 73.98, 75.3, 76.9, 77.8 %
    "ghostnet_1.0": Published(
        f"{GITHUB}/raw/master/ghostnet_pytorch/models/state_dict_73.98.pth",
        "965143b0",  # as far as it is published, by third parties who load the file with it
        "model=ghostnet",
    ),
    "ghostnet_v2_1.0": Published(
        f"{GITHUB}/releases/download/GhostNetV2/ck_ghostnetv2_10.pth.tar",
        None,
        "model=ghostnet_v2",
    ),
    "ghostnet_v2_1.3": Published(
        f"{GITHUB}/releases/download/GhostNetV2/ck_ghostnetv2_13.pth.tar",
        None,
        "model=ghostnet_v2 model.width_mult=1.3",
    ),
    "ghostnet_v2_1.6": Published(
        f"{GITHUB}/releases/download/GhostNetV2/ck_ghostnetv2_16.pth.tar",
        None,
        "model=ghostnet_v2 model.width_mult=1.6",
    ),
}


@dataclass(frozen=True)
class LoadReport:
    """What was loaded: every entry of the network but `new`, the head of other classes."""

    source: str
    loaded: int
    by_order: bool  # names differ, and the sequences of kinds and shapes are the same
    new: tuple[str, ...]

    def __str__(self) -> str:
        text = f"{self.loaded} entries of weights={self.source} loaded"
        text += " in their order" if self.by_order else ""
        return text + (f"; {', '.join(self.new)} are new: other classes" if self.new else "")


def load_weights(net: nn.Module, source: str) -> LoadReport:
    """Load the weights that `source` names, published ones or a file, into `net`.

    Every entry must fit. Only the last linear layer stays new where the classes differ in number.
    """
    given = read_state(locate(source))
    own = net.state_dict()
    if not any(name.endswith(COUNTER) for name in given):
        own = {name: value for name, value in own.items() if not name.endswith(COUNTER)}
    by_order = len(own) == len(given) and own.keys() & given.keys() <= _head(net)
    if by_order:
        given = dict(zip(own, _checked_order(own, given, source), strict=True))
    new = _check_fit(net, own, given, source)
    net.load_state_dict({name: given[name] for name in own if name not in new}, strict=False)
    report = LoadReport(source, len(own) - len(new), by_order, new)
    log.info("%s", report)
    return report


def locate(source: str) -> Path:
    """File of a name in PUBLISHED, fetched if it is not there yet, or of a path."""
    if source in PUBLISHED:
        return fetch_published(source, cache_folder())
    if not Path(source).is_file():
        raise ValueError(
            f"weights={source} is neither a file nor one of the published {', '.join(PUBLISHED)}"
        )
    return Path(source)


def fetch_published(name: str, folder: Path) -> Path:
    """File of published weights in `folder`."""
    published = PUBLISHED[name]
    path = Path(folder) / f"{name}.pth"
    digest = fetch(published.url, path, sha256=published.sha256)
    log.info("%s has SHA-256 %s", path, digest)
    return path


def cache_folder() -> Path:
    """Folder below the user's cache where published weights are kept."""
    users = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return users / "ghostexp" / "weights"


def read_state(path: Path) -> State:
    """State dict in a file: bare, in a checkpoint's `state_dict`, or the `net` of our task's."""
    content = _read(path)
    ours = isinstance(content, dict) and "pytorch-lightning_version" in content
    state = content.get("state_dict", content) if isinstance(content, dict) else None
    if not state or not all(isinstance(value, Tensor) for value in state.values()):
        raise ValueError(f"{path} holds no state dict, which is a tensor for each name")
    if ours:
        return {n.removeprefix("net."): value for n, value in state.items() if n.startswith("net.")}
    if all(name.startswith("module.") for name in state):  # DataParallel's
        return {name.removeprefix("module."): value for name, value in state.items()}
    return dict(state)


def _read(path: Path) -> object:
    if path.suffix == ".safetensors":
        raise ValueError(
            f"{path} is sorted by name, as safetensors are, and networks are matched by order: load"
            f" it where it comes from, torch.save(net.state_dict()), and give that file"
        )
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise ValueError(
            f"{path} is refused: it is damaged, or a pickle of more than tensors in plain"
            f" containers, which could run any code"
        ) from error
    except Exception as error:  # of a damaged file torch raises nearly anything
        raise ValueError(f"{path} cannot be read as weights: {error}") from error


def _checked_order(own: State, given: State, source: str) -> list[Tensor]:
    """Values of `given`, whose kinds (weight, running_mean, ...) must be those of `own`."""
    for mine, theirs in zip(own, given, strict=True):
        if _kind(mine) != _kind(theirs):
            raise ValueError(
                f"weights={source} do not fit{_hint(source)}: by their order {theirs} would become"
                f" {mine}"
            )
    return list(given.values())


def _check_fit(net: nn.Module, own: State, given: State, source: str) -> tuple[str, ...]:
    """Entries of a head for other classes; raises for whatever else is missing, over or unlike."""
    missing = [name for name in own if name not in given]
    unexpected = [name for name in given if name not in own]
    unlike = [name for name in own if name in given and own[name].shape != given[name].shape]
    head = _head(net)
    new = tuple(
        name for name in unlike if name in head and own[name].shape[1:] == given[name].shape[1:]
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
