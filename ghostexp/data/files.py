"""Files in a folder a class: found, decoded once by threads, and kept in a cache file."""

import hashlib
import logging
import os
from collections.abc import Callable, Set
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from rich.progress import track

log = logging.getLogger(__name__)

SPLITS = ("train", "val", "test")
CHUNK = 64  # files a thread decodes before it asks for more


@dataclass(frozen=True)
class Tree:
    """The files below a root, sorted by split, class and name; `counts` are per split."""

    root: Path
    class_names: list[str]
    paths: list[Path]
    labels: list[int]
    counts: dict[str, int]


def check_root(root: Path) -> None:
    """Refuse a folder that is not there."""
    if not root.is_dir():
        raise ValueError(f"root={root} is no folder")


def scan(root: Path, extensions: Set[str], splits: tuple[str, ...] = SPLITS) -> Tree:
    """Files of `root/<train|val|test>/<class>/`, or of `root/<class>/` without a `train`."""
    check_root(root)
    folders = {split: root / split for split in splits if (root / split).is_dir()}
    if not folders:
        folders = {"train": root}
    if "train" not in folders:
        raise ValueError(f"{root} has a folder {' and '.join(folders)}, but no train")
    class_names = _class_names(folders["train"])
    for folder in folders.values():
        if differing := set(_class_names(folder)) ^ set(class_names):
            raise ValueError(
                f"{folders['train']} and {folder} differ in their class folders:"
                f" {', '.join(sorted(differing))} is in one only"
            )
    paths, labels, counts = [], [], {}
    for split, folder in folders.items():
        found = [_class_files(folder / name, extensions) for name in class_names]
        paths += [path for files in found for path in files]
        labels += [label for label, files in enumerate(found) for _ in files]
        counts[split] = sum(map(len, found))
    return Tree(root, class_names, paths, labels, counts)


def files_below(folder: Path, extensions: Set[str]) -> list[Path]:
    """All files below a folder with one of these endings, sorted."""
    return sorted(
        Path(directory, name)
        for directory, _, names in os.walk(folder)
        for name in names
        if os.path.splitext(name)[1].lower() in extensions
    )


def cached(path: Path, make: Callable[[], Any], fits: Callable[[Any], bool]) -> Any:
    """Tensors in the file at `path`, mapped; made, and put there, where they are not or not whole.

    `fits` says whether what lies there is what is meant.
    """
    try:
        kept = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
        if fits(kept):
            return kept
        log.warning("%s holds something else: decoding again", path)
    except FileNotFoundError:
        pass  # the first time
    except RuntimeError:
        log.warning("%s is damaged: decoding again", path)
    made = make()
    _write_atomically(path, made)
    return made


def cache_path(root: Path, paths: list[Path], *, settings: str, name: str) -> Path:
    """File for what is decoded of `paths`, named by content: below the root, or the user's cache.

    Its digest is of `settings` and of each file's name, size and time.
    """
    digest = hashlib.sha256(settings.encode())
    for path in paths:
        stat = path.stat()
        digest.update(os.fsencode(f"\n{path.relative_to(root)} {stat.st_size} {stat.st_mtime_ns}"))
    name = f"{name}-{digest.hexdigest()[:16]}.pt"
    if os.access(root, os.W_OK):
        return root / ".ghostexp" / name
    users = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return users / "ghostexp" / name


def in_threads(decode: Callable[[int], None], count: int, *, bar_from: int, what: str) -> None:
    """Call `decode` with 0 to count - 1 by a thread a core; a bar from `bar_from` files on."""

    def decode_chunk(start: int) -> None:
        for index in range(start, min(start + CHUNK, count)):
            decode(index)

    starts = range(0, count, CHUNK)
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for _ in track(
            pool.map(decode_chunk, starts),
            f"decoding {count} {what}, once",
            total=len(starts),
            transient=True,
            disable=count < bar_from,
        ):
            pass


def _class_names(folder: Path) -> list[str]:
    names = sorted(
        entry.name for entry in os.scandir(folder) if entry.is_dir() and entry.name[0] != "."
    )
    if not names:
        raise ValueError(f"{folder} has no class folders: files are expected as <class>/<file>")
    return names


def _class_files(folder: Path, extensions: Set[str]) -> list[Path]:
    files = files_below(folder, extensions)
    if not files:
        endings = ", ".join(sorted(extensions))
        raise ValueError(f"the class folder {folder} holds no file that ends in {endings}")
    return files


def _write_atomically(path: Path, made: Any) -> None:
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        torch.save(made, temporary)
        os.replace(temporary, path)
    except (OSError, RuntimeError) as error:  # RuntimeError: torch's, of a full disk
        log.warning("%s cannot be written, the next run decodes again: %s", path, error)
    finally:
        temporary.unlink(missing_ok=True)
