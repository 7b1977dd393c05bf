"""What is decoded of many files: by threads, once, and kept in a cache file."""

import hashlib
import logging
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from joblib import cpu_count
from rich.console import Console
from rich.progress import track

from ghostexp.files.caches import user_cache
from ghostexp.files.tensors import read_tensors, write_tensors

log = logging.getLogger(__name__)

CHUNK = 64  # files that a thread decodes before it asks for more


def cached(path: Path, make: Callable[[], Any], fits: Callable[[Any], bool]) -> Any:
    """Tensors in the file at `path`, mapped; made, and put there, where they are not or not whole.

    `fits` says whether what lies there is what is meant.
    """
    try:
        kept = read_tensors(path, mmap=True)
        if fits(kept):
            return kept
        log.warning("%s holds something else: decoding again", path)
    except FileNotFoundError:
        pass  # the first time
    except ValueError:
        log.warning("%s is damaged: decoding again", path)
    made = make()
    _write(path, made)
    return made


def cache_path(root: Path, paths: list[Path], *, settings: str, name: str) -> Path:
    """File for what is decoded of `paths`, named by content: below the root, or the user's cache.

    Its digest is of `settings` and of each file's name, size and time.
    """
    digest = hashlib.sha256(settings.encode())
    for path in paths:
        stat = path.stat()
        digest.update(
            os.fsencode(f"\n{os.path.relpath(path, root)} {stat.st_size} {stat.st_mtime_ns}")
        )
    name = f"{name}-{digest.hexdigest()[:16]}.pt"
    if os.access(root, os.W_OK):
        return root / ".ghostexp" / name
    return user_cache() / name


def in_threads(decode: Callable[[int], None], count: int, *, bar_from: int, what: str) -> None:
    """Call `decode` with 0 to count - 1 by one thread per core; a bar from `bar_from` files on."""

    def decode_chunk(start: int) -> None:
        for index in range(start, min(start + CHUNK, count)):
            decode(index)

    starts = range(0, count, CHUNK)
    with ThreadPoolExecutor(cpu_count()) as pool:
        for _ in track(
            pool.map(decode_chunk, starts),
            f"decoding {count} {what}, once",
            total=len(starts),
            console=Console(force_jupyter=False),
            transient=True,
            disable=count < bar_from,
        ):
            pass


def _write(path: Path, made: Any) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_tensors(path, made)
    except OSError as error:
        log.warning("%s cannot be written, the next run decodes again: %s", path, error)
