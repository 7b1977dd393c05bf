"""Values of a config held against the annotations of the callable that they are for.

torch's optimizers and schedules test the range of a number with `<` only: NaN, `true` and lists
pass, and a string or null ends in a TypeError that does not name the key.
"""

import inspect
from collections import abc
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from math import isfinite
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin

WORDS = {
    float: "a finite number",
    int: "a whole number",
    bool: "true or false",
    str: "a text",
    NoneType: "null",
}
LISTS = (list, Sequence, Iterable)


def keywords(function: Callable[..., Any]) -> dict[str, Any]:
    """The values that a config gives to a callable that other code calls."""
    return function.keywords if isinstance(function, partial) else {}


def check_values(path: str, function: Callable[..., Any]) -> None:
    """ValueError that names `path.key` for the first of `keywords` that does not fit."""
    values = keywords(function)
    for name, parameter in _parameters(getattr(function, "func", function)).items():
        kind = parameter.annotation
        if name not in values or kind is inspect.Parameter.empty:
            continue
        value = values[name]
        if not _fits(value, kind) and value is not parameter.default:
            raise ValueError(f"{path}.{name} must be {_words(kind) or kind}, not {_written(value)}")


def _parameters(function: Any) -> dict[str, inspect.Parameter]:
    names = {name: getattr(abc, name) for name in abc.__all__}  # torch imports some for tools only
    try:
        signature = inspect.signature(function, locals=names, eval_str=True)
    except NameError:  # another name that is there for type checkers only
        signature = inspect.signature(function)
    return dict(signature.parameters)


def _fits(value: Any, kind: Any) -> bool:
    """Whether a value of YAML fits an annotation; what YAML cannot express fits."""
    origin, inner = get_origin(kind), get_args(kind)
    if origin in (Union, UnionType):
        return any(_fits(value, each) for each in inner)
    if origin is Literal:
        return value in inner
    if origin is tuple and Ellipsis not in inner:
        many = isinstance(value, list | tuple) and len(value) == len(inner)
        return many and all(map(_fits, value, inner))
    if origin in LISTS:
        several = isinstance(value, list | tuple)
        return several and all(_fits(each, kind) for kind in inner for each in value)
    if kind is float:
        return isinstance(value, int | float) and not isinstance(value, bool) and isfinite(value)
    if kind is int:
        return isinstance(value, int) and not isinstance(value, bool)
    if not isinstance(kind, type) or kind is Any or getattr(kind, "_is_protocol", False):
        return True
    return isinstance(value, kind)


def _words(kind: Any) -> str:
    """An annotation in words, without what only code can give, such as tensors."""
    origin, inner = get_origin(kind), get_args(kind)
    if origin in (Union, UnionType):
        return " or ".join(word for word in map(_words, inner) if word)
    if origin is Literal:
        return " or ".join(map(str, inner))
    if origin is tuple and Ellipsis not in inner:
        return f"a list of {len(inner)}, each {_words(inner[0])}"
    if origin in LISTS:
        return f"a list, each {_words(inner[0])}" if inner else "a list"
    return WORDS.get(kind, "")


def _written(value: Any) -> str:
    """A value as it is written on the command line."""
    if isinstance(value, bool):
        return str(value).lower()
    return "null" if value is None else str(value)
