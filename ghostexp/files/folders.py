"""Folders that are removed again where nothing was written into them."""

from contextlib import suppress
from pathlib import Path


def remove_if_empty(folder: Path) -> None:
    """Remove `folder`, then every folder above it that is empty too, below the working folder."""
    here = Path.cwd()
    with suppress(OSError):  # a folder with something in it, of ours or not
        for each in (folder, *folder.parents):
            if each in (here, *here.parents):
                return
            each.rmdir()
