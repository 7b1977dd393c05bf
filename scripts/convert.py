"""python scripts/convert.py: the same as `ghostexp convert`."""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[1]))  # ghostexp may not be installed

from ghostexp.commands.convert import main

if __name__ == "__main__":
    sys.exit(main())
