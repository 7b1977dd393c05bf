"""python scripts/kept_filters.py: the same as `ghostexp kept_filters`."""

import sys

from ghostexp.commands.kept_filters import main

if __name__ == "__main__":
    sys.exit(main())
