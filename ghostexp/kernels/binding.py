"""Functions of our C++ libraries as functions of Python, and the tensors that they take."""

import ctypes
from functools import cache
from pathlib import Path

import torch
from torch import Tensor

from ghostexp.kernels.compiler import compile_library, target

POINTER, LONG, INT, DOUBLE = ctypes.c_void_p, ctypes.c_int64, ctypes.c_int, ctypes.c_double
C_NAMES = {torch.float32: "float", torch.bfloat16: "bfloat16"}  # of the types of maps

Functions = tuple[tuple[str, tuple[type, ...]], ...]  # names and types of arguments; all are void


def load_library(
    source: Path, functions: Functions, generated: str = "", **constants: int
) -> ctypes.CDLL:
    """The library of a C++ file, whose `functions` know the types of their arguments.

    `generated` is C++ that follows the file, `constants` are macros that it is compiled with. It is
    compiled if it has not been yet; a ValueError says what is missing where it cannot be.
    """
    return _load(target(), source, functions, generated, tuple(sorted(constants.items())))


def for_maps(name: str, *arguments: type) -> Functions:
    """The forms of a function that is there for each type of maps, such as `name`_float."""
    return tuple((f"{name}_{of_maps}", arguments) for of_maps in C_NAMES.values())


def addresses(*tensors: Tensor | None) -> list[int | None]:
    """Where the values of tensors lie, for arguments of the type POINTER."""
    return [None if tensor is None else tensor.data_ptr() for tensor in tensors]


def suits_kernels(maps: Tensor) -> bool:
    """Whether maps [N, C, H, W] are what kernels for training read.

    They read float32 or bfloat16 in channels_last order on the CPU.
    """
    return (
        type(maps) is Tensor
        and maps.device.type == "cpu"
        and maps.dtype in C_NAMES
        and maps.dim() == 4
        and maps.numel() > 0
        and maps.is_contiguous(memory_format=torch.channels_last)
    )


@cache
def _load(
    march: str,  # not read here: a library for each target
    source: Path,
    functions: Functions,
    generated: str,
    constants: tuple[tuple[str, int], ...],
) -> ctypes.CDLL:
    library = ctypes.CDLL(str(compile_library(source, dict(constants), generated)))
    for name, arguments in functions:
        function = getattr(library, name)
        function.argtypes = arguments
        function.restype = None
    return library
