"""python scripts/predict.py: the same as `ghostexp predict`."""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[1]))  # ghostexp may not be installed

from ghostexp.commands.predict import main

if __name__ == "__main__":
    sys.exit(main())
