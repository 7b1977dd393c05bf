"""Does a value of a config fit the annotation of the argument that it becomes?

Words such as `no`, `off` and `abc` are texts in YAML, and every text is true in Python.
"""

import collections.abc
import inspect
import json
import numbers
import os
import typing
from collections.abc import Callable, Collection, Iterable, Mapping
from enum import Enum
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, TypeVar, Union, get_args, get_origin

WORDS = {
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    numbers.Number: "a number",
    str: "text",
    NoneType: "null",
}
PLURALS = {"a whole number": "whole numbers", "a number": "numbers", "text": "texts"}
MAX_WORDS = 12  # of a list in a sentence


def parameters(function: Any) -> dict[str, inspect.Parameter] | None:
    """Parameters of a callable with evaluated annotations; None where C code tells nothing."""
    try:
        signature = inspect.signature(function)
    except (ValueError, TypeError):
        return None
    source = function.__init__ if inspect.isclass(function) else inspect.unwrap(function)
    names = {**vars(collections.abc), **vars(typing), **getattr(source, "__globals__", {})}
    return {
        name: parameter.replace(annotation=read_annotation(parameter.annotation, names))
        for name, parameter in signature.parameters.items()
    }


def read_annotation(annotation: Any, names: Mapping[str, Any]) -> Any:
    """`annotation`, which may be written as text; Any where it is missing or cannot be read."""
    if annotation is inspect.Parameter.empty:
        return Any
    if not isinstance(annotation, str):
        return annotation
    try:
        return eval(annotation, dict(names))  # of installed code, never of a config
    except Exception:  # a name that its module imports for type checkers only
        return Any


def fits(value: Any, wanted: Any) -> bool:
    """Whether a plain value of YAML can be an argument annotated with `wanted`."""
    origin, inner = get_origin(wanted), get_args(wanted)
    if wanted in (Any, object) or isinstance(wanted, TypeVar) or is_open(value):
        return True
    if origin in (Union, UnionType):
        return any(fits(value, each) for each in inner)
    if origin is Annotated:
        return fits(value, inner[0])
    if origin is Literal:
        return any(value == each and type(value) is type(each) for each in inner)
    if wanted in (None, NoneType):
        return value is None
    kind = origin or wanted
    return _fits_class(value, kind, inner) if inspect.isclass(kind) else True


def _fits_class(value: Any, kind: type, inner: tuple[Any, ...]) -> bool:
    if kind is bool:
        return isinstance(value, bool)
    if kind is int:
        return isinstance(value, int) and not isinstance(value, bool)
    if kind is float or issubclass(kind, numbers.Number):
        return isinstance(value, int | float) and not isinstance(value, bool)
    if issubclass(kind, str | os.PathLike):
        return isinstance(value, str)
    if issubclass(kind, Enum):
        return isinstance(value, str | int)
    if issubclass(kind, tuple):
        return isinstance(value, list) and _items_fit(value, inner)
    if issubclass(kind, Mapping):
        return isinstance(value, dict)
    if _is_list(kind):
        return isinstance(value, list) and all(fits(item, each) for item in value for each in inner)
    return False  # an object, which only a node with a `_target_` makes


def _is_list(kind: type) -> bool:
    """Whether a list of YAML can be a `kind`; a tensor is a collection as well, but an object."""
    plain = kind.__module__ in ("builtins", "collections.abc")
    return plain and issubclass(kind, Collection | Iterable)


def _items_fit(items: list[Any], inner: tuple[Any, ...]) -> bool:
    if not inner:
        return True
    if len(inner) == 2 and inner[1] is Ellipsis:
        return all(fits(item, inner[0]) for item in items)
    return len(items) == len(inner) and all(map(fits, items, inner))


def is_open(value: Any) -> bool:
    """Whether a value is not known here: an interpolation, or a node that makes an object."""
    return (isinstance(value, str) and "${" in value) or (
        isinstance(value, dict) and "_target_" in value
    )


def describe(wanted: Any) -> str:
    """An annotation in words, such as `a whole number or null`."""
    origin, inner = get_origin(wanted), get_args(wanted)
    if origin in (Union, UnionType):
        words = [each for one in inner if get_origin(one) is Literal for each in get_args(one)]
        plain = [one for one in inner if get_origin(one) is not Literal and not objects(one)]
        objects_only = not words and set(plain) <= {NoneType}
        others = [describe(one) for one in (inner if objects_only else plain)]
        return " or ".join(dict.fromkeys([listed(words), *others] if words else others))
    if origin is Annotated:
        return describe(inner[0])
    if origin is Literal:
        return listed(inner)
    kind = NoneType if wanted is None else origin or wanted
    if kind in WORDS:
        return WORDS[kind]
    if not inspect.isclass(kind):
        return str(kind)
    if issubclass(kind, str | os.PathLike | Enum):
        return "text"
    if issubclass(kind, tuple) and inner and Ellipsis not in inner:
        return f"a list of {len(inner)} values ({', '.join(map(describe, inner))})"
    if issubclass(kind, Mapping):
        return "a mapping"
    if _is_list(kind):
        item = describe(inner[0]) if inner else ""
        return f"a list of {PLURALS[item]}" if item in PLURALS else "a list"
    return f"a node with a _target_ ({kind.__name__})"


def listed(words: Collection[Any]) -> str:
    """`one of a, b`; of a long list the first ones."""
    texts = list(dict.fromkeys(map(str, words)))
    more = ", ..." if len(texts) > MAX_WORDS else ""
    return f"one of {', '.join(texts[:MAX_WORDS])}{more}"


def shown(value: Any) -> str:
    """A value as it stands in YAML, texts in quotes, cut where it is long."""
    text = repr(value) if isinstance(value, str) else json.dumps(value, default=str)
    return text if len(text) <= 80 else f"{text[:77]}..."


def objects(wanted: Any) -> tuple[type, ...] | None:
    """Classes of objects that an annotation takes, also within lists; None where it takes any."""
    if wanted in (Any, object) or isinstance(wanted, TypeVar):
        return None
    origin, inner = get_origin(wanted), get_args(wanted)
    if origin is Literal or wanted in WORDS or wanted is None:
        return ()
    kind = origin or wanted
    if kind in (Callable, collections.abc.Callable):
        return (collections.abc.Callable,)
    if not inner or origin is type:
        return _object_class(kind)
    found: list[type] = []
    for each in inner:
        if each is Ellipsis:
            continue
        classes = objects(each)
        if classes is None:
            return None
        found += classes
    return tuple(dict.fromkeys(found))


def _object_class(kind: Any) -> tuple[type, ...] | None:
    if not inspect.isclass(kind):
        return None
    if issubclass(kind, str | os.PathLike | Enum | numbers.Number):
        return ()
    if issubclass(kind, list | tuple | dict | set) or kind.__module__ == "collections.abc":
        return None  # a container that says nothing of its content
    return (kind,)
