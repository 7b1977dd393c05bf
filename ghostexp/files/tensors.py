"""Files of torch.save: written in one step, and read as tensors in plain containers or refused."""

import pickle
import re
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any, BinaryIO

import torch

from ghostexp.files.atomic import replacing


def read_tensors(path: Path, *, classes: Sequence[type] = (), mmap: bool = False) -> Any:
    """Tensors, on the CPU, and plain data of the file at `path`; nothing in it is executed.

    Objects of `classes` are plain data as well. With `mmap` the tensors stay in the file. OSError
    as `open` raises it, ValueError with one sentence for any other file.
    """
    path.open("rb").close()  # OSError of a file that cannot be read at all
    try:
        with torch.serialization.safe_globals(list(classes)), warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Detected pickle protocol")  # torch 2.15
            return torch.load(path, map_location="cpu", weights_only=True, mmap=mmap)
    except pickle.UnpicklingError as error:
        name = re.search(r"GLOBAL (\S+)", str(error))
        what = f"it names {name[1]}" if name else "it is damaged, or torch.save did not write it"
        raise ValueError(
            f"{path} is refused: {what}; only tensors in plain containers are read, because"
            " anything else could run any code"
        ) from error
    except Exception as error:  # of a damaged file torch raises nearly anything
        raise ValueError(f"{path} is damaged, or torch.save did not write it") from error


def write_tensors(path: Path, value: Any) -> None:
    """Replace the file at `path` by what torch.save makes of `value`; OSError of a full disk."""
    with replacing(path) as file:
        told = _Remembering(file)
        try:
            torch.save(value, told)
        except RuntimeError as error:
            raise told.error or error from error


class _Remembering:
    """A file that remembers why a write failed, which torch.save does not tell."""

    def __init__(self, file: BinaryIO) -> None:
        self.file = file
        self.error: OSError | None = None

    def write(self, data: bytes) -> int:
        try:
            return self.file.write(data)
        except OSError as error:
            self.error = error
            raise

    def flush(self) -> None:
        self.file.flush()
