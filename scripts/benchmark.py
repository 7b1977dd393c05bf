"""python scripts/benchmark.py: the same as `ghostexp benchmark`."""

import sys

from ghostexp.commands.benchmark import main

if __name__ == "__main__":
    sys.exit(main())
