"""Image files in a folder a class: found, decoded once, and kept as one tensor in a cache file."""

import hashlib
import logging
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageOps
from rich.progress import track
from torch import Tensor

from ghostexp.data.in_memory import SPLIT_SEED, TEST_SHARE, LabelledSet, InMemory, stratified_split

log = logging.getLogger(__name__)

EXTENSIONS = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".webp", ".ppm"})
SPLITS = ("train", "val", "test")
MAX_BYTES_IN_MEMORY = 2 * 2**30
CACHE_FORMAT = 1
CHUNK = 64  # images a thread decodes before it asks for more
IMAGES_WORTH_A_BAR = 5000


@dataclass(frozen=True)
class Tree:
    """The image files below a root, sorted by split, class and name; `counts` are per split."""

    root: Path
    class_names: list[str]
    paths: list[Path]
    labels: list[int]
    counts: dict[str, int]


class ImageFiles:
    """Images decoded whenever they are asked for, of sets too large for memory.

    `read` makes an image uint8 [C, H, W] of a path; `random` says that it draws random numbers.
    """

    def __init__(
        self,
        paths: list[Path],
        *,
        read: Callable[[str], Tensor],
        random: bool = False,
        num_workers: int | None = None,
    ) -> None:
        self.paths = np.array([os.fsencode(path) for path in paths])  # one block: workers share it
        self.read = read
        self.random = random
        self.num_workers = (os.cpu_count() or 1) if num_workers is None else num_workers

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, indices: Tensor) -> Tensor:
        paths = map(os.fsdecode, self.paths[indices.numpy()])
        pixels = torch.stack([self.read(path).permute(1, 2, 0) for path in paths])
        return pixels.permute(0, 3, 1, 2)


def check_folder(root: str | None, in_channels: int, image_size: int) -> None:
    """Refuse what is wrong before any image is looked at."""
    if root is None:
        raise ValueError("image_folder needs the folder of the images: give dataset.root=FOLDER")
    if not Path(root).is_dir():
        raise ValueError(f"root={root} is no folder")
    if in_channels not in (1, 3):
        raise ValueError(
            f"in_channels of an image folder is 1 (grey) or 3 (RGB), not {in_channels}"
        )
    if not isinstance(image_size, int) or image_size < 1:
        raise ValueError(f"image_size is a whole number of pixels, not {image_size}")


def load_folder(root: Path, *, in_channels: int, image_size: int) -> LabelledSet:
    """Images below `root`, in memory if they fit; without a test folder a fifth is held out."""
    tree = scan(root)
    labels = torch.tensor(tree.labels)
    ranges = torch.arange(len(labels)).split(list(tree.counts.values()))
    splits = dict(zip(tree.counts, ranges, strict=True))
    if "test" not in splits:
        splits["train"], splits["test"] = stratified_split(
            splits["train"], labels, share=TEST_SHARE, seed=SPLIT_SEED
        )
        log.info(
            f"{root} has no test folder: {len(splits['test'])} of {len(labels)} images,"
            f" {TEST_SHARE:.0%} of each class, are held out as test"
        )
    if len(labels) * image_size**2 * in_channels > MAX_BYTES_IN_MEMORY:
        read = partial(load_image, in_channels=in_channels, image_size=image_size)
        images = ImageFiles(tree.paths, read=read)
    else:
        images = InMemory(decode_cached(tree, in_channels, image_size))
    none = torch.arange(0)
    return LabelledSet(
        images, labels, tree.class_names, splits["train"], splits.get("val", none), splits["test"]
    )


def scan(root: Path, splits: Sequence[str] = SPLITS) -> Tree:
    """Image files of `root/<train|val|test>/<class>/`, or of `root/<class>/` without a `train`."""
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
        found = [_image_files(folder / name) for name in class_names]
        paths += [path for files in found for path in files]
        labels += [label for label, files in enumerate(found) for _ in files]
        counts[split] = sum(map(len, found))
    return Tree(root, class_names, paths, labels, counts)


def decode_cached(tree: Tree, in_channels: int, image_size: int) -> Tensor:
    """Pixels uint8 [N, H, W, C] of a tree, from the cache file of its present content."""
    path = cache_path(tree, in_channels, image_size)
    shape = (len(tree.paths), image_size, image_size, in_channels)
    try:
        pixels = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
        if pixels.shape == shape and pixels.dtype == torch.uint8:
            return pixels
        log.warning("%s holds other images: decoding again", path)
    except FileNotFoundError:
        pass  # the first time
    except RuntimeError:
        log.warning("%s is damaged: decoding again", path)
    pixels = decode(tree.paths, in_channels, image_size)
    _write_atomically(path, pixels)
    return pixels


def decode(paths: list[Path], in_channels: int, image_size: int) -> Tensor:
    """Pixels uint8 [N, H, W, C] of image files, decoded by a thread a core."""
    pixels = torch.empty(len(paths), image_size, image_size, in_channels, dtype=torch.uint8)

    def decode_chunk(start: int) -> None:
        for index, path in enumerate(paths[start : start + CHUNK], start):
            pixels[index] = load_image(path, in_channels, image_size).permute(1, 2, 0)

    starts = range(0, len(paths), CHUNK)
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        done = pool.map(decode_chunk, starts)
        for _ in track(
            done,
            f"decoding {len(paths)} images, once",
            total=len(starts),
            transient=True,
            disable=len(paths) < IMAGES_WORTH_A_BAR,
        ):
            pass
    return pixels


def load_image(path: str | Path, in_channels: int, image_size: int) -> Tensor:
    """Image uint8 [C, H, W] of a file: its centre square, resized; grey for one channel."""
    image = open_image(path, in_channels, draft=2 * image_size)
    if image.size != (image_size, image_size):
        image = ImageOps.fit(image, (image_size, image_size), Image.Resampling.BILINEAR)
    return to_tensor(image)


def open_image(path: str | Path, in_channels: int, *, draft: int | None = None) -> Image.Image:
    """Image of a file, upright, grey or RGB; a JPEG decoded smaller, but not below `draft`."""
    mode = "L" if in_channels == 1 else "RGB"
    try:
        with Image.open(path) as image:
            if image.mode.startswith(("I", "F")):
                raise ValueError(f"mode {image.mode} has more than 8 bits a channel")
            if draft is not None:
                image.draft(mode, (draft, draft))
            return ImageOps.exif_transpose(image).convert(mode)
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise ValueError(f"{path} cannot be read as an image: {error}") from error


def to_tensor(image: Image.Image) -> Tensor:
    """Pixels uint8 [C, H, W] of a grey or RGB image."""
    pixels = np.array(image).reshape(image.height, image.width, -1)
    return torch.from_numpy(pixels).permute(2, 0, 1)


def cache_path(tree: Tree, in_channels: int, image_size: int) -> Path:
    """File for the decoded tree, named by what it holds: below the root, or the user's cache."""
    digest = hashlib.sha256(f"{CACHE_FORMAT} {in_channels} {image_size}".encode())
    for path in tree.paths:
        stat = path.stat()
        line = f"\n{path.relative_to(tree.root)} {stat.st_size} {stat.st_mtime_ns}"
        digest.update(os.fsencode(line))
    name = f"{in_channels}x{image_size}x{image_size}-{digest.hexdigest()[:16]}.pt"
    if os.access(tree.root, os.W_OK):
        return tree.root / ".ghostexp" / name
    users = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return users / "ghostexp" / name


def _class_names(folder: Path) -> list[str]:
    names = sorted(
        entry.name for entry in os.scandir(folder) if entry.is_dir() and entry.name[0] != "."
    )
    if not names:
        raise ValueError(f"{folder} has no class folders: images are expected as <class>/<image>")
    return names


def _image_files(folder: Path) -> list[Path]:
    files = sorted(
        Path(directory, name)
        for directory, _, names in os.walk(folder)
        for name in names
        if os.path.splitext(name)[1].lower() in EXTENSIONS
    )
    if not files:
        endings = ", ".join(sorted(EXTENSIONS))
        raise ValueError(f"the class folder {folder} holds no image ({endings})")
    return files


def _write_atomically(path: Path, pixels: Tensor) -> None:
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        torch.save(pixels, temporary)
        os.replace(temporary, path)
    except (OSError, RuntimeError) as error:  # RuntimeError: torch's, of a full disk
        log.warning("%s cannot be written, the next run decodes again: %s", path, error)
    finally:
        temporary.unlink(missing_ok=True)
