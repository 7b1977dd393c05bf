"""A file grows by whole pieces: a full disk never leaves half of one."""

import os
from pathlib import Path


def append(path: Path, piece: bytes) -> None:
    """Add `piece` to the end of `path`, which is made if it is missing.

    If the piece does not fit, the file keeps its old content, and the OSError goes on.
    """
    with path.open("ab", buffering=0) as file:
        before = file.tell()
        try:
            written = file.write(piece)
            if written < len(piece):  # the disk took a part: the rest raises the error
                file.write(piece[written:])
        except OSError:
            os.truncate(path, before)
            raise
