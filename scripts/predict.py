"""python scripts/predict.py: the same as `ghostexp predict`."""

import sys

from ghostexp.commands.predict import main

if __name__ == "__main__":
    sys.exit(main())
