"""The commands of `ghostexp`: one file each, whose `main` reads the words and calls the library.

A command ends with one sentence where this Python cannot run it, instead of the stack trace of an
import. This file is therefore written for older versions of Python, too.
"""

import sys
from importlib.util import find_spec

OLDEST = (3, 11)
NEEDED = (
    *("torch", "torchvision", "hydra", "omegaconf", "pytorch_lightning", "torchmetrics"),
    "tensorboard",
)


def obstacle():
    """Why this Python runs no command, as a sentence; None if it does."""
    found = sys.version_info[:2]
    if found < OLDEST:
        needs = "ghostexp needs Python {}.{} or newer, and {} is Python {}.{}"
        way_out = ": install a newer Python, and `make install PYTHON=FILE` uses it"
        return needs.format(*OLDEST, sys.executable, *found) + way_out
    missing = [name for name in NEEDED if find_spec(name) is None]
    if not missing:
        return None
    return (
        f"{sys.executable} lacks {', '.join(missing)}: use the Python into which ghostexp was"
        " installed (`make install` puts it into .venv, and `source .venv/bin/activate` chooses"
        " it), or install ghostexp with `pip install -e .`"
    )


reason = obstacle()
if reason:
    sys.exit("error: " + reason)
