"""python scripts/export.py: the same as `ghostexp export`."""

import sys

from ghostexp.commands.export import main

if __name__ == "__main__":
    sys.exit(main())
