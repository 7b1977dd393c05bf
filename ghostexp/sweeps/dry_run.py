"""The option --dry-run of a command line that starts a sweep."""

from ghostexp.config.arguments import DRY_RUN

_asked = False


def take_from(arguments: list[str]) -> None:
    """Take the option out of the arguments of this process, and remember whether it was there."""
    global _asked
    _asked = DRY_RUN in arguments
    while DRY_RUN in arguments:
        arguments.remove(DRY_RUN)


def is_asked() -> bool:
    """Whether the sweep is only to be checked and shown."""
    return _asked
