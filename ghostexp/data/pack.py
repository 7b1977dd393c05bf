"""A folder of images packed into shards: plain tar files in the convention of WebDataset.

Image number 17 is two members of a tar file, `00000017.jpg` and `00000017.cls` (the number of its
class). The images of a split are shuffled once, so that each shard holds all classes. The bytes of
a file are copied as they are. The folder appears under its name when it is whole and was checked.
"""

import os
import shutil
import tarfile
import zlib
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from rich.progress import Progress, track

from ghostexp.data.draws import epoch_generator
from ghostexp.data.folder import BadFile
from ghostexp.data.labelled_files import LabelledFiles
from ghostexp.data.shard_index import FILES, SAMPLE, Shard, ShardIndex, read_index
from ghostexp.data.stores import LocalStore
from ghostexp.data.transformed import imagenet_files
from ghostexp.files.folders import is_free
from ghostexp.files.lock import Busy, Lock

SPLITS = {"train": "train", "test": "val"}  # of `imagenet_files` -> as the folders are named
JPEG = frozenset((".jpg", ".jpeg", ".jpe", ".jfif"))
USTAR = tarfile.USTAR_FORMAT  # one block of 512 bytes before the content
CHUNK = 64
WORTH_A_BAR = 5000


def pack(folder: Path, out: Path, *, shard_size: int, seed: int) -> ShardIndex:
    """Write the images of `folder`, which holds train and val, as shards of `shard_size` bytes.

    A shard ends with the image that fills it. ValueError with one sentence for a folder, or a file,
    that cannot be packed, and for an `out` that is not free.
    """
    if not is_free(out):
        raise ValueError(f"{out} exists already: name a new folder")
    if out.resolve().is_relative_to(folder.resolve()):
        raise ValueError(f"{out} lies in the folder that is packed: name a folder elsewhere")
    files = imagenet_files(folder)
    out.parent.mkdir(parents=True, exist_ok=True)
    begun = out.with_name(f".{out.name}.packing")
    lock = Lock(out.with_name(f".{out.name}.lock"))
    try:
        lock.acquire()
    except Busy as error:
        raise ValueError(f"{out} is being packed already: {error}") from error
    try:
        shutil.rmtree(begun, ignore_errors=True)  # of a process that was killed
        begun.mkdir()
        index = _write(begun, files, shard_size, seed)
        check(begun, files)
        begun.replace(out)
    finally:
        shutil.rmtree(begun, ignore_errors=True)
        lock.remove()
    return index


def check(packed: Path, files: LabelledFiles) -> None:
    """ValueError unless the shards hold the images of the folder, byte for byte by their CRC-32."""
    store = LocalStore(str(packed))
    index = read_index(store)
    samples = index.samples
    starts = range(0, len(samples), CHUNK)
    for start in track(starts, "checking", transient=True, disable=len(samples) < WORTH_A_BAR):
        rows = np.arange(start, min(start + CHUNK, len(samples)))
        found = samples[rows]
        pieces = store.pieces(index.names_of(rows), found["offset"], found["length"])
        if [zlib.crc32(piece) for piece in pieces] != found["crc"].tolist():
            raise ValueError(
                f"the bytes read from {packed} are not those that were written: check the disk"
            )
    for split, name in SPLITS.items():
        packed_labels = samples["label"][np.array(index.splits()) == name]
        labels = np.array(files.labels)[files.members(split).numpy()]
        if sorted(packed_labels) != sorted(labels):
            raise ValueError(f"{packed} has other images of {name} than {files.root}")


def _write(out: Path, files: LabelledFiles, shard_size: int, seed: int) -> ShardIndex:
    """All shards and their index."""
    shards, rows, order = [], [], []
    with Progress(transient=True, disable=len(files.paths) < WORTH_A_BAR) as bar:
        task = bar.add_task(f"packing {len(files.paths)} images", total=len(files.paths))
        for number, (split, name) in enumerate(SPLITS.items()):
            members = files.members(split)
            drawn = torch.randperm(len(members), generator=epoch_generator(seed, number))
            paths = [files.paths[index] for index in members[drawn].tolist()]
            labels = [files.labels[index] for index in members[drawn].tolist()]
            for part, (start, end) in enumerate(_filled(paths, shard_size)):
                path = out / f"{name}-{part:06d}.tar"
                written = _write_shard(path, paths[start:end], labels[start:end], len(rows))
                rows += [(len(shards), *row) for row in written]
                shards.append(Shard(path.name, name, end - start, path.stat().st_size))
                bar.advance(task, end - start)
            order += paths
    index = ShardIndex(files.class_names, shards, np.array(rows, SAMPLE), seed)
    for name, content in index.files().items():
        (out / name).write_bytes(content)
    below = (path.relative_to(files.root).as_posix() for path in order)
    (out / FILES).write_text("".join(f"{name}\n" for name in below), errors="surrogateescape")
    return index


def _filled(paths: list[Path], shard_size: int) -> Iterator[tuple[int, int]]:
    """From which to before which file each shard goes."""
    start = size = 0
    for number, path in enumerate(paths):
        size += path.stat().st_size
        if size >= shard_size or number == len(paths) - 1:
            yield start, number + 1
            start, size = number + 1, 0


def _write_shard(
    path: Path, sources: list[Path], labels: list[int], first: int
) -> list[tuple[int, int, int, int]]:
    """One tar file of images numbered from `first`; (offset, length, label, CRC-32) of each."""
    rows = []
    with path.open("wb") as file, tarfile.open(fileobj=file, mode="w", format=USTAR) as tar:
        for number, (source, label) in enumerate(zip(sources, labels, strict=True), first):
            content = source.read_bytes()
            _check_image(source, content)
            ending = "jpg" if source.suffix.lower() in JPEG else source.suffix.lower()[1:]
            rows.append((tar.offset + tarfile.BLOCKSIZE, len(content), label, zlib.crc32(content)))
            for kind, data in ((ending, content), ("cls", b"%d" % label)):
                member = tarfile.TarInfo(f"{number:08d}.{kind}")
                member.size = len(data)
                tar.addfile(member, BytesIO(data))
        tar.close()
        file.flush()
        os.fsync(file.fileno())
    return rows


def _check_image(source: Path, content: bytes) -> None:
    """ValueError for a file that does not begin like an image; its pixels are not decoded."""
    try:
        Image.open(BytesIO(content)).close()
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise BadFile(f"{source} cannot be read as an image: {error}") from error
