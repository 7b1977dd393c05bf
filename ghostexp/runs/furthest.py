"""The checkpoint that an interrupted run goes on from."""

from pathlib import Path

from ghostexp.runs.load import load_checkpoint


def furthest_checkpoint(folder: Path) -> Path | None:
    """`last.ckpt` of an epoch's end, or `partial.ckpt` if it was saved after more steps.

    None where there is neither; UserError where one of two cannot be read.
    """
    found = [path for name in ("last", "partial") if (path := folder / f"{name}.ckpt").exists()]
    if len(found) < 2:
        return next(iter(found), None)
    return max(found, key=lambda path: load_checkpoint(path)["global_step"])  # of equals the first
