"""Train one network, or a sweep of them: python train.py --help."""

import sys

from ghostexp.commands.train import main

if __name__ == "__main__":
    sys.exit(main())
