"""python scripts/any_network.py: the same as `ghostexp any_network`."""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[1]))  # ghostexp may not be installed

from ghostexp.commands.any_network import main

if __name__ == "__main__":
    sys.exit(main())
