"""Train all combinations of values: `ghostexp sweep model.ratio=2,4` is `train -m`."""

import sys

from ghostexp.commands import train


def main() -> int:
    """Exit code: the exit code of `ghostexp train`."""
    sys.argv.insert(1, "--multirun")
    return train.main()
