"""python scripts/convert.py: the same as `ghostexp convert`."""

import sys

from ghostexp.commands.convert import main

if __name__ == "__main__":
    sys.exit(main())
