"""Folders of files that are read by pieces: on this machine, or at any address of fsspec."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

MOST_OPEN = 64  # files that a process keeps open
LOCAL = "file://"


class Store(Protocol):
    """A folder; its files are read whole, or many pieces of them at once."""

    address: str

    def read(self, name: str) -> bytes: ...

    def sizes(self) -> dict[str, int]:
        """Bytes of each file, by its name."""
        ...

    def pieces(
        self, names: Sequence[str], offsets: Sequence[int], lengths: Sequence[int]
    ) -> list[bytes]:
        """Piece number i is of the file names[i]."""
        ...


def store_of(root: str) -> Store:
    """The folder that `root` names: a path, `file://...`, `s3://...`, `memory://...` and more."""
    if root.startswith(LOCAL):
        return LocalStore(root.removeprefix(LOCAL))
    return RemoteStore(root) if "://" in root else LocalStore(root)


class LocalStore:
    """A folder of a file system."""

    def __init__(self, address: str) -> None:
        self.address = address
        self.opened: dict[str, _Opened] = {}

    def __getstate__(self) -> dict[str, Any]:
        return {"address": self.address, "opened": {}}  # a descriptor belongs to its process

    def read(self, name: str) -> bytes:
        return (Path(self.address) / name).read_bytes()

    def sizes(self) -> dict[str, int]:
        with os.scandir(self.address) as entries:
            return {entry.name: entry.stat().st_size for entry in entries}

    def pieces(
        self, names: Sequence[str], offsets: Sequence[int], lengths: Sequence[int]
    ) -> list[bytes]:
        return [
            os.pread(self._descriptor(name), length, offset)
            for name, offset, length in zip(names, offsets, lengths, strict=True)
        ]

    def _descriptor(self, name: str) -> int:
        if name not in self.opened:
            if len(self.opened) >= MOST_OPEN:
                del self.opened[next(iter(self.opened))]  # the first that was opened
            self.opened[name] = _Opened(Path(self.address) / name)
        return self.opened[name].descriptor


class _Opened:
    """A file that is closed when nobody refers to it any more."""

    def __init__(self, path: Path) -> None:
        self.descriptor = -1
        self.descriptor = os.open(path, os.O_RDONLY)

    def __del__(self) -> None:
        if self.descriptor >= 0:
            os.close(self.descriptor)


class RemoteStore:
    """A folder at an address of fsspec. The pieces of one call are asked for at the same time.

    fsspec keeps a connection per process, so that none is shared with a process that follows.
    Names of servers and keys come from the environment and the files of the backend, such as
    AWS_PROFILE and AWS_ENDPOINT_URL: no record of a run holds a key.
    """

    def __init__(self, address: str) -> None:
        self.address = address.rstrip("/")

    def read(self, name: str) -> bytes:
        system, folder = self._connected()
        return system.cat_file(f"{folder}/{name}")

    def sizes(self) -> dict[str, int]:
        system, folder = self._connected()
        found = system.ls(folder, detail=True)
        return {entry["name"].rpartition("/")[2]: entry["size"] for entry in found}

    def pieces(
        self, names: Sequence[str], offsets: Sequence[int], lengths: Sequence[int]
    ) -> list[bytes]:
        system, folder = self._connected()
        ends = [offset + length for offset, length in zip(offsets, lengths, strict=True)]
        return system.cat_ranges(
            [f"{folder}/{name}" for name in names], list(offsets), ends, on_error="raise"
        )

    def _connected(self) -> tuple[Any, str]:
        from fsspec.core import url_to_fs  # a tenth of a second that only addresses need

        return url_to_fs(self.address)
