"""What every job of a sweep would say again is said once."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager

_said: set[str] | None = None  # messages of the sweep at work; None outside of one


class OnceInASweep(logging.Filter):
    """Lets a message pass the first time in a sweep; outside of a sweep every time."""

    def filter(self, record: logging.LogRecord) -> bool:
        if _said is None or record.levelno >= logging.ERROR:
            return True
        message = record.getMessage()
        is_new = message not in _said
        _said.add(message)
        return is_new


@contextmanager
def once() -> Iterator[None]:
    """From here to the block's end a repeated message is dropped on the screen."""
    global _said
    _said = set()
    try:
        yield
    finally:
        _said = None
