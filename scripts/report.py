"""python scripts/report.py: the same as `ghostexp report`."""

import sys

from ghostexp.commands.report import main

if __name__ == "__main__":
    sys.exit(main())
