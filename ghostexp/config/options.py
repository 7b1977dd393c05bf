"""Values of options that several commands take."""

import argparse
from pathlib import Path

from ghostexp.config.explain import UserError


def words(text: str) -> list[str]:
    """Words between commas."""
    return text.split(",")


def number(text: str) -> int:
    """One whole number of at least 1."""
    (only,) = numbers(text)
    return only


def numbers(text: str) -> list[int]:
    """Whole numbers of at least 1 between commas."""
    found = [int(word) for word in text.split(",")]
    if min(found) < 1:
        raise argparse.ArgumentTypeError(f"must be at least 1, not {min(found)}")
    return found


def check_out(folder: Path | None) -> None:
    """`UserError` if the folder of `--out` is a file."""
    if folder is not None and folder.exists() and not folder.is_dir():
        raise UserError(f"--out {folder} is a file: a folder is needed")
