"""python scripts/lr_range.py: the same as `ghostexp lr_range`."""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[1]))  # ghostexp may not be installed

from ghostexp.commands.lr_range import main

if __name__ == "__main__":
    sys.exit(main())
