"""Folders that are removed again where nothing was written into them."""

from contextlib import suppress
from pathlib import Path


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
