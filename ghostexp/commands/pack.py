"""Pack a folder of images into shards, which dataset=shards reads.

ghostexp pack FOLDER OUT                      FOLDER/<train|val>/<class>/* becomes OUT/*.tar
ghostexp pack FOLDER OUT --shard-size 64MB    smaller shards; 256MB is the default

The shards are plain tar files that WebDataset reads too. The images of each split are shuffled once
(--seed), and their bytes are copied as they are. OUT appears when all images are packed and were
read back: a pack that was killed leaves nothing that looks finished, and the next one begins anew.
"""

import argparse
import re
from pathlib import Path

from ghostexp.config import cli
from ghostexp.config.explain import UserError
from ghostexp.data.pack import pack

UNITS = {"kB": 10**3, "MB": 10**6, "GB": 10**9}


@cli.script
def main(arguments: list[str] | None = None) -> int:
    """Exit code: 1 with one sentence for what cannot be packed, else 0."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path, help="holds train and val, with a folder per class")
    parser.add_argument("out", type=Path, help="must not exist, or be empty")
    parser.add_argument("--shard-size", type=size, default="256MB", metavar="SIZE")
    parser.add_argument("--seed", type=int, default=0, help="of the order in the shards")
    options = parser.parse_args(arguments)
    try:
        index = pack(options.folder, options.out, shard_size=options.shard_size, seed=options.seed)
    except ValueError as error:
        raise UserError(str(error)) from error
    gigabytes = sum(shard.size for shard in index.shards) / 10**9
    print(
        f"{options.out}: {len(index.samples)} images of {len(index.class_names)} classes in"
        f" {len(index.shards)} shards, {gigabytes:.3f} GB, read back and equal to the folder"
    )
    print(f"next: ghostexp train dataset=shards dataset.root={options.out}")
    return 0


def size(text: str) -> int:
    """Bytes of a text such as 256MB."""
    found = re.fullmatch(r"(\d+)(kB|MB|GB)", text)
    if found is None or int(found[1]) == 0:
        raise argparse.ArgumentTypeError(f"must be a size such as 256MB or 64kB, not {text}")
    return int(found[1]) * UNITS[found[2]]
