"""Names of the networks that `model=NAME` chooses, and `ghostexp.create_model(NAME)` makes.

ghostexp models                 all
ghostexp models 'ghostnet*'     those whose name matches
"""

import argparse

from ghostexp.api import list_models
from ghostexp.config import cli
from ghostexp.config.explain import UserError


@cli.script
def main(arguments: list[str] | None = None) -> int:
    """Exit code: 1 where no name matches, else 0."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("pattern", nargs="?", default="*", help="such as 'ghost*'")
    pattern = parser.parse_args(arguments).pattern
    names = list_models(pattern)
    if not names:
        raise UserError(f"{pattern}: no network has such a name; all: {', '.join(list_models())}")
    print("\n".join(names))
    return 0
