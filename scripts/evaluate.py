"""python scripts/evaluate.py: the same as `ghostexp evaluate`."""

import sys

from ghostexp.commands.evaluate import main

if __name__ == "__main__":
    sys.exit(main())
