"""The option --dry-run of a command line that starts a sweep.

Hydra knows no such option and has no place for it in its own config.
"""

OPTION = "--dry-run"

_asked = False


def take_from(arguments: list[str]) -> None:
    """Take the option out of the arguments of this process, and remember whether it was there."""
    global _asked
    _asked = OPTION in arguments
    while OPTION in arguments:
        arguments.remove(OPTION)


def is_asked() -> bool:
    """Whether the sweep is only to be checked and shown."""
    return _asked
