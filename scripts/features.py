"""python scripts/features.py: the same as `ghostexp features`."""

import sys

from ghostexp.commands.features import main

if __name__ == "__main__":
    sys.exit(main())
