"""What a `_target_` may name at each place of a config. A config is data that may be hostile.

A name is taken when three things hold:
1. It lies in a module of SHIPPED or of a granted package. Nothing else is imported.
2. It leads to a class or a function that is defined there: `torch.nn.os.system` is neither.
3. The place takes it: the class is of the place's base class, or the function says by its
   annotation that it returns such an object, and both are defined in one of the base class's HOMES.

A granted package (ghostexp/config/grants.py) is trusted: of it any callable may be named, and only
classes are held against the place's base class.
"""

import inspect
import re
from collections.abc import Callable, Iterator
from importlib import import_module
from types import UnionType
from typing import Any, Union, get_args, get_origin

import pytorch_lightning as pl
import torch
from omegaconf import DictConfig, ListConfig, OmegaConf
from pytorch_lightning.loggers import Logger
from pytorch_lightning.profilers import Profiler
from pytorch_lightning.strategies import Strategy
from torch import nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler
from torchmetrics import Metric

from ghostexp.config.explain import UserError, did_you_mean, how_to_install
from ghostexp.config.grants import granted
from ghostexp.config.values import read_annotation

SHIPPED = (
    *("ghostexp", "torch.nn", "torch.optim", "torch.tensor", "torchvision", "torchmetrics"),
    *("pytorch_lightning", "timm"),
)
HOMES: dict[type, tuple[str, ...]] = {  # base class -> modules whose classes a config may name
    nn.Module: (
        *(
            "ghostexp.data",
            "ghostexp.layers",
            "ghostexp.models",
            "ghostexp.native",
            "ghostexp.training",
        ),
        *("torch.nn.modules", "torchvision.models", "torchvision.ops", "torchvision.transforms"),
        *("timm.layers", "timm.loss", "timm.models"),
    ),
    pl.LightningDataModule: ("ghostexp",),
    pl.LightningModule: ("ghostexp",),
    pl.Trainer: ("pytorch_lightning.trainer",),
    pl.Callback: ("ghostexp", "pytorch_lightning.callbacks"),
    Logger: ("ghostexp", "pytorch_lightning.loggers"),
    Profiler: ("pytorch_lightning.profilers",),
    Strategy: ("pytorch_lightning.strategies",),
    Optimizer: ("ghostexp", "torch.optim", "timm.optim"),
    LRScheduler: ("ghostexp", "torch.optim"),
    Metric: ("ghostexp", "torchmetrics.classification", "torchmetrics.aggregation"),
}
FUNCTIONS = (  # modules whose functions a config may name, by what they return
    *("ghostexp.data", "ghostexp.layers", "ghostexp.models", "ghostexp.training"),
    *("torchvision.models", "timm.models"),
)
PARTIALS = ("ghostexp.training",)  # modules whose functions may be handed over with `_partial_`
ANYTHING = (nn.Module, Callable)  # at a place that does not say what it takes

DOTTED = re.compile(r"[A-Za-z]\w*(\.[A-Za-z]\w*)+")


def find_callable(target: Any, path: str) -> Any:
    """The object that the `_target_` of the node at `path` names; `UserError` if it may not."""
    if not isinstance(target, str) or not DOTTED.fullmatch(target):
        raise UserError(f"{path}._target_={target} is no dotted name of a public class or function")
    _check_package(target, path)
    found = locate(target, path)
    home = getattr(found, "__module__", None) or ""
    if _below(home, granted()) and callable(found):
        return found
    is_plain = inspect.isclass(found) or (
        inspect.isfunction(found) and found.__qualname__ == found.__name__
    )
    if found is not torch.tensor and not (is_plain and _below(home, SHIPPED)):
        raise UserError(
            f"{path}._target_={target} is no class or function that the allowed packages"
            f" ({', '.join([*SHIPPED, *granted()])}) define"
        )
    return found


def check_role(found: Any, path: str, expected: tuple[type, ...] | None, *, partial: bool) -> None:
    """`UserError` unless an object made by `found` may stand at `path`.

    `expected` are the base classes that the place takes; None for a place that does not say it.
    """
    expected = ANYTHING if expected is None else expected
    name = f"{found.__module__}.{getattr(found, '__qualname__', found)}"
    if not expected:
        raise UserError(f"{path} takes a plain value, no node with a _target_ ({name})")
    if found is torch.tensor:
        is_taken = torch.Tensor in expected
    elif _below(found.__module__, granted()):
        is_class = inspect.isclass(found)
        is_taken = not is_class or expected == ANYTHING or issubclass(found, expected)
    else:
        is_taken = any(_makes(found, base, partial=partial) for base in expected)
    if not is_taken:
        bases = " or ".join(with_article(base.__name__) for base in expected)
        raise UserError(f"{path}._target_={name} cannot stand there: {path} takes {bases}")


def product_check(built: Any, path: str, expected: type) -> None:
    """`UserError` unless what a node built is what its place takes."""
    if not isinstance(built, expected):
        wanted, given = with_article(expected.__name__), with_article(type(built).__name__)
        raise UserError(f"{path} must build {wanted}, not {given}")


def with_article(name: str) -> str:
    """`an Optimizer`, `a Module`."""
    return f"{'an' if name[0].lower() in 'aeiou' else 'a'} {name}"


def _makes(found: Any, base: type, *, partial: bool) -> bool:
    """Whether the shipped `found` is known to make an object of `base`."""
    home = found.__module__
    if inspect.isclass(found):
        return issubclass(found, base) and _below(home, _homes(base))
    if base is Callable and partial:
        return _below(home, PARTIALS)
    return _below(home, FUNCTIONS) and any(issubclass(kind, base) for kind in _returned(found))


def _homes(base: type) -> tuple[str, ...]:
    if base is Callable:
        return HOMES[nn.Module]
    homes = [home for known, places in HOMES.items() if issubclass(base, known) for home in places]
    own = base.__module__.split(".")[0]
    return (*homes, own) if own in ("ghostexp", *granted()) else tuple(homes)


def _returned(function: Any) -> list[type]:
    """Classes that a function returns by its annotation; none where it says nothing."""
    plain = inspect.unwrap(function)
    annotation = read_annotation(inspect.signature(function).return_annotation, plain.__globals__)
    union = get_origin(annotation) in (Union, UnionType)
    kinds = get_args(annotation) if union else (annotation,)
    found = [get_origin(kind) or kind for kind in kinds]
    return [kind for kind in found if inspect.isclass(kind)]


def _check_package(target: str, path: str) -> None:
    if _below(target, (*SHIPPED, *granted())):
        return
    package = target.split(".")[0]
    parts = [name for name in SHIPPED if name.split(".")[0] == package]
    if parts:
        raise UserError(
            f"{path}._target_={target}: of {package} a config may name only {', '.join(parts)}"
        )
    raise UserError(
        f"{path}._target_={target} is outside the allowed packages"
        f" ({', '.join([*SHIPPED, *granted()])}). No file can allow another package, only the"
        f" command line: allow_targets=[{package}], of a script --allow-target {package}"
    )


def targets(node: Any, path: str = "") -> Iterator[tuple[str, DictConfig]]:
    """Every node of a config that names a callable, with its dotted path."""
    if isinstance(node, DictConfig) and not node._is_none():
        if "_target_" in node:
            yield path, node
        for key in node:
            if not OmegaConf.is_missing(node, key) and not OmegaConf.is_interpolation(node, key):
                yield from targets(node._get_node(key), f"{path}.{key}" if path else str(key))
    elif isinstance(node, ListConfig) and not node._is_none():
        for index in range(len(node)):
            yield from targets(node._get_node(index), f"{path}.{index}")


def locate(target: str, path: str) -> Any:
    """The object with a dotted name; `UserError` where there is none."""
    parts = target.split(".")
    for split in range(len(parts) - 1, 0, -1):
        module = ".".join(parts[:split])
        try:
            found = import_module(module)
        except ModuleNotFoundError as error:
            if error.name and not target.startswith(error.name):
                raise UserError(f"{path}._target_={target}: {how_to_install(error)}") from error
            continue
        except Exception as error:  # whatever the module's own code raises
            raise UserError(
                f"{path}._target_={target}: importing {module} fails with"
                f" {type(error).__name__}: {error}"
            ) from error
        return _attribute(found, parts, split, path)
    raise UserError(
        f"{path}._target_={target}: {how_to_install(ModuleNotFoundError(name=parts[0]))}"
    )


def _attribute(found: Any, parts: list[str], start: int, path: str) -> Any:
    for index, part in enumerate(parts[start:], start):
        if not hasattr(found, part):
            place = ".".join(parts[:index])
            known = [name for name in dir(found) if not name.startswith("_")]
            raise UserError(
                f"{path}._target_={'.'.join(parts)}: {place} has no"
                f" {part}{did_you_mean(part, known)}"
            )
        found = getattr(found, part)
    return found


def _below(name: str, modules: tuple[str, ...]) -> bool:
    return any(name == module or name.startswith(f"{module}.") for module in modules)
