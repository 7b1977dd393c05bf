"""What components and Lightning refuse, as one sentence that names the config's node."""

import re
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytorch_lightning as pl
from hydra.errors import InstantiationException
from pytorch_lightning.utilities.exceptions import MisconfigurationException

from ghostexp.config.explain import UserError, how_to_install

FULL_KEY = re.compile(r"full_key: (\S+)")  # at the end of what Hydra 1.3 raises for a node
LIGHTNING = Path(pl.__file__).parent
MAX_SENTENCE = 400  # characters


@contextmanager
def users_mistakes(path: str) -> Iterator[None]:
    """Turn what a component refuses into one sentence that names the config's node.

    Whatever a constructor raises is a mistake in the values that the config gives it. Of other code
    only those errors are that are meant for a user. The chain of exceptions is kept, for the log.
    """
    try:
        yield
    except UserError:
        raise
    except InstantiationException as error:
        place = FULL_KEY.search(str(error))
        told = error.__cause__ or error
        place = place[1] if place and "." in place[1] else path
        raise UserError(f"{place}: {sentence(told)}") from error
    except (ValueError, OSError, ImportError, MisconfigurationException) as error:
        raise UserError(f"{path}: {sentence(error)}") from error


@contextmanager
def refusals_of_lightning() -> Iterator[None]:
    """Turn what Lightning itself refuses while it fits or tests into one sentence.

    An error that is raised in other code, ours for one, keeps its trace.
    """
    try:
        yield
    except (ValueError, TypeError, MisconfigurationException) as error:
        place = traceback.extract_tb(error.__traceback__)[-1].filename
        if isinstance(error, MisconfigurationException) or Path(place).is_relative_to(LIGHTNING):
            raise UserError(f"trainer: {sentence(error)}") from error
        raise


def sentence(error: BaseException) -> str:
    """What an exception says, in one line; with its type where that says what the text does not."""
    if isinstance(error, ImportError):
        return how_to_install(error)
    text = " ".join(str(error).split())
    is_told = isinstance(error, ValueError | OSError | TypeError | MisconfigurationException)
    is_told = is_told or isinstance(error, InstantiationException)
    text = text if is_told and text else f"{type(error).__name__}: {text}"
    return text if len(text) <= MAX_SENTENCE else f"{text[:MAX_SENTENCE]}..."
