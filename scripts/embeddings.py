"""python scripts/embeddings.py: the same as `ghostexp embeddings`."""

import sys

from ghostexp.commands.embeddings import main

if __name__ == "__main__":
    sys.exit(main())
