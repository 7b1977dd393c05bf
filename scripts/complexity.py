"""python scripts/complexity.py: the same as `ghostexp complexity`."""

import sys

from ghostexp.commands.complexity import main

if __name__ == "__main__":
    sys.exit(main())
