"""Public data sets as archives: downloaded, checked, and unpacked where they are not there yet."""

import hashlib
import os
import shutil
import tarfile
import zipfile
from dataclasses import dataclass
from pathlib import Path

from ghostexp.download import fetch


@dataclass(frozen=True)
class Archive:
    """A tar or zip file on the web, and the entry of it that says that it has been unpacked.

    `sha256` is the file's. A server that packs an archive anew for each request may pack it
    otherwise one day: `content`, the `content_digest` of the folder `holds`, is then what is known.
    """

    title: str
    url: str
    filename: str
    holds: str
    sha256: str | None = None
    content: str | None = None


def provide(archive: Archive, root: Path) -> None:
    """See to it that `root` has what the archive holds."""
    if (root / archive.holds).exists():
        return
    path = root / archive.filename
    try:
        fetch(archive.url, path, sha256=archive.sha256)
    except ValueError as error:
        raise ValueError(
            f"{archive.title} needs {root / archive.holds}, which is not there: give its folder"
            f" with dataset.root=FOLDER, or train offline with dataset=tones; {error}"
        ) from error
    try:
        unpack(path, root, last=archive.holds, content=archive.content)
    except (tarfile.TarError, zipfile.BadZipFile, EOFError, OSError) as error:
        reason = " ".join(str(error).split())
        raise ValueError(
            f"{path} cannot be unpacked ({reason}): delete it to fetch it again"
        ) from error
    if not (root / archive.holds).exists():
        raise ValueError(f"{path} from {archive.url} holds no {archive.holds}")


def content_digest(folder: Path) -> str:
    """SHA-256 of the names and contents of the files in a folder, whatever packed them."""
    digest = hashlib.sha256()
    for path in sorted(folder.iterdir()):
        digest.update(path.name.encode() + b"\0" + hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()


def unpack(path: Path, root: Path, *, last: str, content: str | None = None) -> None:
    """Put what is in an archive, or in its only folder, into `root`; `last` comes last.

    What is there already stays: an interrupted unpacking is gone on with. Nothing is put there if
    `content` is not the digest of the folder `last`.
    """
    temporary = root / f".unpacking-{os.getpid()}"
    try:
        _extract(path, temporary)
        entries = list(temporary.iterdir())
        if len(entries) == 1 and entries[0].is_dir():
            entries = list(entries[0].iterdir())
        _check_content(path, entries, last, content)
        for entry in sorted(entries, key=lambda entry: entry.name == last.split("/")[0]):
            if not (root / entry.name).exists():
                os.replace(entry, root / entry.name)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _extract(path: Path, folder: Path) -> None:
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            archive.extractall(folder)
        return
    with tarfile.open(path) as tar:
        tar.extractall(folder, filter="data")


def _check_content(path: Path, entries: list[Path], name: str, content: str | None) -> None:
    for entry in entries:
        if content is not None and entry.name == name and content_digest(entry) != content:
            raise ValueError(
                f"the files in {name} of {path} are not the known ones: delete {path} to fetch it"
                " again"
            )
