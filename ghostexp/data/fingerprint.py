"""A short name for the data that a run saw: it changes with their content, labels and split.

What is in memory is hashed whole. Of files that are read as they are needed, the names and the
sizes in bytes count, not the times: a copied data set is the same one.
"""

import hashlib
import os
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
from torch import Tensor

DIGITS = 16


def fingerprint(parts: Iterable[bytes | str | Tensor | np.ndarray]) -> str:
    """16 hexadecimal digits of the parts, in their order; shapes and types count."""
    digest = hashlib.blake2b(digest_size=DIGITS // 2)
    for part in parts:
        if isinstance(part, str | bytes):
            content = part.encode("utf-8", "surrogateescape") if isinstance(part, str) else part
            digest.update(f"{len(content)} bytes\n".encode())
            digest.update(content)
        else:
            values = np.ascontiguousarray(part.numpy() if isinstance(part, Tensor) else part)
            digest.update(f"{values.dtype} {values.shape}\n".encode())
            digest.update(values.reshape(-1).view(np.uint8))
    return digest.hexdigest()


def file_facts(paths: list[Path]) -> Iterator[str]:
    """Name below the common folder, and size in bytes, of each file."""
    root = os.path.commonpath([os.path.dirname(os.path.abspath(path)) for path in paths])
    for path in paths:
        yield f"{os.path.relpath(path, root)} {os.stat(path).st_size}"
