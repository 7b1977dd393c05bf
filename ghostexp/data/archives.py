"""Public data sets as archives: downloaded, checked, and unpacked where they are not there yet."""

import os
import shutil
import tarfile
from dataclasses import dataclass
from pathlib import Path

from ghostexp.download import fetch


@dataclass(frozen=True)
class Archive:
    """A tar file on the web, and what of it says that it has been unpacked.

    `sha256` None: it is not known, what is seen first is recorded (ghostexp/download.py).
    """

    title: str
    url: str
    filename: str
    holds: str
    sha256: str | None = None


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
        unpack(path, root, last=archive.holds)
    except (tarfile.TarError, EOFError, OSError) as error:
        reason = " ".join(str(error).split())
        raise ValueError(
            f"{path} cannot be unpacked ({reason}): delete it to fetch it again"
        ) from error
    if not (root / archive.holds).exists():
        raise ValueError(f"{path} from {archive.url} holds no {archive.holds}")


def unpack(path: Path, root: Path, *, last: str) -> None:
    """Put what is in a tar file, or in its only folder, into `root`; `last` comes last.

    What is there already stays: an interrupted unpacking is gone on with.
    """
    temporary = root / f".unpacking-{os.getpid()}"
    try:
        with tarfile.open(path) as tar:
            tar.extractall(temporary, filter="data")
        content = list(temporary.iterdir())
        if len(content) == 1 and content[0].is_dir():
            content = list(content[0].iterdir())
        for entry in sorted(content, key=lambda entry: entry.name == last.split("/")[0]):
            if not (root / entry.name).exists():
                os.replace(entry, root / entry.name)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
