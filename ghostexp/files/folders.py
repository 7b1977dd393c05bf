"""Folders in which nothing is: free to be written, or removed where nothing was written."""

from contextlib import suppress
from pathlib import Path


def is_free(folder: Path) -> bool:
    """Whether `folder` is not there yet, or is an empty folder."""
    return not folder.exists() or (folder.is_dir() and not any(folder.iterdir()))


def remove_if_empty(folder: Path) -> None:
    """Remove `folder` if it is empty, then those above it that are, up to the working folder.

    Of folders elsewhere, which somebody may have made for other things, only `folder` goes.
    """
    folder, here = folder.absolute(), Path.cwd()
    above = [each for each in folder.parents if here in each.parents]
    with suppress(OSError):  # a folder with something in it, of ours or not
        for each in (folder, *above):
            if each not in (here, *here.parents):
                each.rmdir()
