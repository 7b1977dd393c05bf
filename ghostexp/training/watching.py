"""What is only watched (loggers, pictures) never ends a training."""

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from pytorch_lightning.loggers import Logger

log = logging.getLogger(__name__)

CALLED_BY_LIGHTNING = (
    *("log_metrics", "log_hyperparams", "log_graph"),
    *("save", "finalize", "after_save_checkpoint"),
)


@contextmanager
def going_on(what: str) -> Iterator[None]:
    """Tell of an error within the block in one log line, and go on after the block."""
    try:
        yield
    except Exception as error:
        log.warning("%s failed, and the run goes on: %s", what, sentence(error))


def never_failing(logger: Logger) -> Logger:
    """`logger` itself, changed: an error in it is told once, in one log line, and never raised.

    Its methods are replaced on the instance, because other code asks for a logger's class.
    """
    told: set[str] = set()
    for name in CALLED_BY_LIGHTNING:
        setattr(logger, name, _forgiving(getattr(logger, name), type(logger).__name__, told))
    return logger


def _forgiving(method: Callable[..., Any], of: str, told: set[str]) -> Callable[..., None]:
    """`method`, which tells of the first error of each kind instead of raising it."""

    def call(*args: Any, **kwargs: Any) -> None:
        try:
            method(*args, **kwargs)
        except Exception as error:
            if type(error).__name__ not in told:
                log.warning("%s failed, and the run goes on: %s", of, sentence(error))
            told.add(type(error).__name__)

    return call


def sentence(error: Exception) -> str:
    """Kind and message of an error, on one line."""
    return f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"
