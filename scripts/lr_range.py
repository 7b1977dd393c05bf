"""python scripts/lr_range.py: the same as `ghostexp lr_range`."""

import sys

from ghostexp.commands.lr_range import main

if __name__ == "__main__":
    sys.exit(main())
