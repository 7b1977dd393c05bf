"""python scripts/any_network.py: the same as `ghostexp any_network`."""

import sys

from ghostexp.commands.any_network import main

if __name__ == "__main__":
    sys.exit(main())
