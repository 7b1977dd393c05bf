"""The command line's manners: a user's slip gives one sentence and exit code 1, no stack trace."""

import difflib
import os
import sys
import warnings
from collections.abc import Callable, Iterable
from pathlib import Path

from hydra import compose, initialize_config_dir
from hydra.errors import HydraException, MissingConfigException
from omegaconf import DictConfig
from omegaconf.errors import ConfigAttributeError, ConfigKeyError, OmegaConfBaseException

from ghostexp.config.directories import register_resolvers
from ghostexp.training.stopping import Stopped

CONFIG_FOLDER = Path(__file__).resolve().parents[2] / "conf"

CAN_BE_NONE = {"callbacks", "logger"}
ADDED = {"debug", "experiment", "search", "suspect"}


class UserError(ValueError):
    """A mistake of the user's, told in one sentence."""


def call(main: Callable[[], None]) -> int:
    """Run a Hydra application; return the exit code."""
    os.environ.setdefault("HYDRA_FULL_ERROR", "1")  # errors come here instead of Hydra's printer
    sys.argv[1:] = map(quote_path, sys.argv[1:])
    prepare_process()
    try:
        sys.argv[1:] = spelled(sys.argv[1:])
        main()
    except UserError as error:
        return _complain(str(error))
    except (HydraException, OmegaConfBaseException) as error:
        return _complain(explain(error))
    except Stopped as stop:
        print("interrupted", file=sys.stderr)
        return stop.exit_code
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130
    return 0


def quote_path(argument: str) -> str:
    """`resume=PATH` as Hydra's grammar takes it, whose words end at `=`, `,` and brackets."""
    key, _, path = argument.partition("=")
    if key != "resume" or path == "null" or path[:1] in "'\"":
        return argument
    return "{}='{}'".format(key, path.replace("\\", "\\\\").replace("'", "\\'"))


def prepare_process() -> None:
    """What has to be in place before Hydra composes, here and in the workers of a sweep."""
    register_resolvers()
    # our presets bear the names of plugins, and Hydra 1.3 holds them against their schemas
    warnings.filterwarnings(
        "ignore", r"\s*'hydra/(launcher|sweeper)/\w+' is validated against ConfigStore"
    )


def compose_config(overrides: list[str]) -> DictConfig:
    """The config that train.py would get with `overrides`, for scripts and tests."""
    prepare_process()
    try:
        with initialize_config_dir(str(CONFIG_FOLDER), version_base="1.3"):
            cfg = compose("train", spelled(overrides))
    except (HydraException, OmegaConfBaseException) as error:
        raise UserError(explain(error)) from error
    return cfg


def spelled(overrides: list[str]) -> list[str]:
    """`overrides` with `GROUP=null` in words that Hydra 1.3 takes: it refuses to choose nothing."""
    found = []
    for override in overrides:
        group, _, choice = override.partition("=")
        if choice != "null" or not (CONFIG_FOLDER / group).is_dir():
            found.append(override)
        elif group in CAN_BE_NONE:
            found.append(f"{group}=none")
        elif group not in ADDED:  # what is added to a config is left out anyway
            raise UserError(
                f"{group}=null: a run needs a {group}; leave it out for the default one"
            )
    return found


def explain(error: Exception) -> str:
    """One sentence for an error that Hydra or OmegaConf raised while it composed the config."""
    cause = error.__cause__
    if isinstance(error, MissingConfigException):
        return _unknown_choice(error)
    if isinstance(cause, ConfigKeyError | ConfigAttributeError) and cause.parent_node is not None:
        known = [str(key) for key in cause.parent_node]
        return f"{error.args[0].splitlines()[0]} No such key{did_you_mean(str(cause.key), known)}"
    return " ".join(str(cause or error).split())


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """`; did you mean X?` for the known word nearest to `word`, or all of them where none is."""
    names = sorted(known)
    near = difflib.get_close_matches(word, names, n=1, cutoff=0.6)
    return f"; did you mean {near[0]}?" if near else f"; there is {', '.join(names)}"


def _unknown_choice(error: MissingConfigException) -> str:
    if not error.missing_cfg_file or not error.options:
        return " ".join(str(error).split())
    group, _, choice = error.missing_cfg_file.rpartition("/")
    return f"{group}={choice}: no such choice{did_you_mean(choice, error.options)}"


def _complain(sentence: str) -> int:
    print(f"error: {sentence}", file=sys.stderr)
    return 1
