"""Fetch published weights ahead of a training, which says model.weights=NAME then.

ghostexp download ghostnet_1.0            into the cache, where trainings look
ghostexp download ghostnet_1.0 --to DIR   for model.weights=DIR/ghostnet_1.0.pth

A download that was cut goes on where it ended. The file must have the published SHA-256 where there
is one, and always the SHA-256 of the first download, which a JSON file beside it keeps.
"""

import argparse
from pathlib import Path

from ghostexp.config import cli
from ghostexp.config.explain import UserError
from ghostexp.models.published import PUBLISHED, cache_folder, fetch_published
from ghostexp.models.weight_files import read_state


@cli.script
def main(arguments: list[str] | None = None) -> int:
    """Exit code: 1 with one sentence for what went wrong, else 0."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "names", nargs="+", choices=list(PUBLISHED), metavar="NAME", help=", ".join(PUBLISHED)
    )
    parser.add_argument("--to", type=Path, default=cache_folder(), metavar="DIR")
    options = parser.parse_args(arguments)
    try:
        for name in options.names:
            path = fetch_published(name, options.to)
            entries = len(read_state(path))
            print(f"{path}: {entries} entries, for {PUBLISHED[name].fits}")
    except ValueError as error:
        raise UserError(str(error)) from error
    return 0
