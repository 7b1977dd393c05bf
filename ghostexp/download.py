"""A file from the web: resumed where it was cut, checked by its SHA-256, put in place whole.

Beside the file FILE lie FILE.part while it comes, FILE.lock for processes that want it at once, and
FILE.json with the SHA-256 that was seen first.
"""

import hashlib
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import date
from http.client import HTTPException, HTTPResponse
from pathlib import Path
from urllib.error import HTTPError, URLError
from urllib.request import Request, urlopen

from filelock import FileLock
from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)

TIMEOUT_S = 30  # without a byte
CHUNK = 2**16

_offline = ContextVar("offline", default=False)


class NotDownloaded(ValueError):
    """Something is missing, and nothing may be downloaded now."""


@contextmanager
def offline() -> Iterator[None]:
    """Within, nothing is downloaded: what is missing raises `NotDownloaded`."""
    token = _offline.set(True)
    try:
        yield
    finally:
        _offline.reset(token)


def is_offline() -> bool:
    """Whether nothing may be downloaded now."""
    return _offline.get()


def fetch(url: str, path: Path, *, sha256: str | None = None) -> str:
    """Put the file of `url` at `path` if it is not there yet; return its SHA-256.

    `sha256` is the known one, or its first digits. Whatever is seen first is recorded, and every
    later file at `path` must have it.
    """
    if is_offline() and not path.exists():
        raise NotDownloaded(
            f"{path} is missing, and this command downloads nothing: put the file there (from"
            f" {url}), or let a training download it"
        )
    path.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{path}.lock"):
        if path.exists():
            return _check(path, path, url, sha256)
        part = _beside(path, "part")
        _download(url, part, path)
        try:
            digest = _check(part, path, url, sha256)
        except ValueError:
            part.unlink()  # nothing to resume
            raise
        os.replace(part, path)
    return digest


def _check(file: Path, path: Path, url: str, sha256: str | None) -> str:
    """SHA-256 of `file`, which is or becomes `path`; compared, and recorded where it is new."""
    with file.open("rb") as stream:
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
    record = _beside(path, "json")
    recorded = json.loads(record.read_text())["sha256"] if record.exists() else None
    remedy = f"delete {path} to fetch it again" if file == path else "it was not kept"
    for known, source in ((sha256, "is known for it"), (recorded, f"is recorded in {record}")):
        if known and not digest.startswith(known):
            raise ValueError(
                f"{path.name} from {url} has SHA-256 {digest}, but {known} {source}: {remedy}"
            )
    if recorded is None:
        size = file.stat().st_size
        seen = {"url": url, "sha256": digest, "bytes": size, "seen": date.today().isoformat()}
        temporary = _beside(record, "new")
        temporary.write_text(json.dumps(seen, indent=2) + "\n")
        os.replace(temporary, record)
    return digest


def _download(url: str, part: Path, path: Path) -> None:
    """Receive `url` into `part`, as often as that brings more of it."""
    while True:
        before = _size(part)
        try:
            return _receive(url, part)
        except (OSError, HTTPException) as error:
            if _size(part) > before:
                continue  # cut off: go on from here
            reason = error.reason if type(error) is URLError else error
            raise ValueError(
                f"{url} cannot be fetched ({reason}): run this again where there is a network, or"
                f" put the file at {path} by hand"
            ) from error


def _receive(url: str, part: Path) -> None:
    """What `part` lacks of `url`; raises `ConnectionError` if the connection ends before that."""
    offset = _size(part)
    request = Request(url, headers={"Range": f"bytes={offset}-"} if offset else {})
    try:
        response = urlopen(request, timeout=TIMEOUT_S)
    except HTTPError as error:
        error.close()
        if error.code != 416:
            raise
        if error.headers.get("Content-Range") == f"bytes */{offset}":
            return  # no byte is lacking
        part.unlink()  # left by another file
        return _receive(url, part)
    with response:
        expected = f"bytes {offset}-"
        resumed = response.status == 206 and response.headers["Content-Range"].startswith(expected)
        _append(response, part, offset if resumed else 0)


def _append(response: HTTPResponse, part: Path, offset: int) -> None:
    """Write the body of `response` into `part` from `offset` on."""
    length = response.headers.get("Content-Length")
    total = offset + int(length) if length else None
    console = Console(stderr=True, force_jupyter=False)
    progress = Progress(
        TextColumn(part.stem),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
        console=console,
        transient=True,
        disable=not console.is_terminal,
    )
    with progress, part.open("ab" if offset else "wb") as file:
        bar = progress.add_task("", total=total, completed=offset)
        while chunk := response.read(CHUNK):
            file.write(chunk)
            progress.advance(bar, len(chunk))
    if total is not None and _size(part) < total:
        raise ConnectionError(f"it broke off after {_size(part):,} of {total:,} bytes")


def _beside(path: Path, ending: str) -> Path:
    return path.with_name(f"{path.name}.{ending}")


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0
