"""python scripts/download_weights.py: the same as `ghostexp download`."""

import sys

from ghostexp.commands.download import main

if __name__ == "__main__":
    sys.exit(main())
