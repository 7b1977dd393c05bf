"""python scripts/kept_filters.py: the same as `ghostexp kept_filters`."""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[1]))  # ghostexp may not be installed

from ghostexp.commands.kept_filters import main

if __name__ == "__main__":
    sys.exit(main())
