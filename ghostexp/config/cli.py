"""The command line's manners: a user's slip gives one sentence and exit code 1, no stack trace."""

import argparse
import contextlib
import functools
import logging
import os
import shlex
import signal
import sys
import warnings
from collections.abc import Callable, Iterator

from hydra import compose, initialize_config_dir
from omegaconf import DictConfig, OmegaConf

from ghostexp.config import grants
from ghostexp.config.arguments import checked_arguments
from ghostexp.config.choices import CONFIG_FOLDER, for_help, search_folders
from ghostexp.config.directories import register_resolvers
from ghostexp.config.explain import COMPOSING, UserError, explain
from ghostexp.config.output import drop, readable_output, settle, steady_output
from ghostexp.config.trace import REFUSED_LOG, keep_trace
from ghostexp.training.stopping import Stopped


def call(main: Callable[[], None]) -> int:
    """Run what trains, which takes its own command line; return the exit code."""
    os.environ.setdefault("HYDRA_FULL_ERROR", "1")  # errors come here instead of Hydra's printer
    with steady_output():
        try:
            main()
        except UserError as error:
            return _complain(str(error))
        except COMPOSING as error:
            return _complain(explain(error))
        except Stopped as stop:
            print("interrupted", file=sys.stderr)
            return stop.exit_code
        except KeyboardInterrupt:
            print("interrupted", file=sys.stderr)
            return 130
        except Exception as error:  # Hydra's, of a broken file; runs tell theirs as UserError
            kept = keep_trace(error, REFUSED_LOG, shlex.join(sys.argv))
            return _complain(f"{explain(error)}{f' (full trace: {REFUSED_LOG})' if kept else ''}")
    return 0


def script(main: Callable[..., int]) -> Callable[..., int]:
    """Give the main function of a script its manners: exit code 1 and a sentence for a slip.

    A reader that goes away, as `head` does, ends the script quietly, with the code that a shell
    gives to such an end.
    """

    @functools.wraps(main)
    def mannered(arguments: list[str] | None = None) -> int:
        with readable_output():
            prepare_process()
            try:
                code = main(arguments)
                sys.stdout.flush()
            except BrokenPipeError:
                drop(sys.stdout)
                return 128 + signal.SIGPIPE
            except (UserError, OSError) as error:
                settle(sys.stdout)  # else Python complains of a full disk once more at its end
                return _complain(str(error))
            except KeyboardInterrupt:
                return 130
            return code

    return mannered


class _Grant(argparse.Action):
    """Grants the package that the option names."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: str,
        option_string: str | None = None,
    ) -> None:
        grants.grant([*grants.granted(), values])


def add_subject(parser: argparse.ArgumentParser) -> None:
    """The words that name a run, an exported file or any weights: `ghostexp.runs.subject`."""
    parser.add_argument(
        "subject",
        nargs="+",
        metavar="RUN|FILE|key=value",
        help="folder of a run or an exported file, or overrides with model.weights=FILE",
    )


def add_grant(parser: argparse.ArgumentParser) -> None:
    """The option by which whoever calls a script trusts a package that a run's config names."""
    parser.add_argument(
        "--allow-target",
        action=_Grant,
        metavar="PACKAGE",
        help="let the run's config name what this package defines",
    )


def take_command_line() -> None:
    """Prepare this process and `sys.argv` for `hydra.main`; `UserError` for what is refused."""
    prepare_process()
    sys.argv[1:] = checked_arguments(sys.argv[1:])


def prepare_process() -> None:
    """What has to be in place before Hydra composes, here and in the workers of a sweep."""
    register_resolvers()
    OmegaConf.register_new_resolver("described_choices", _described_choices, replace=True)
    grants.grant(grants.named_in(sys.argv[1:]))
    if os.getcwd() not in sys.path:
        sys.path.append(os.getcwd())  # a user's module lies there; last, so that it hides nothing
    logging.raiseExceptions = False  # a log that cannot be written prints no stack traces
    warnings.filterwarnings("error", "provider=hydra.searchpath")  # a folder that is not there
    # our presets bear the names of plugins, and Hydra 1.3 holds them against their schemas
    warnings.filterwarnings(
        "ignore", r"\s*'hydra/(launcher|sweeper)/\w+' is validated against ConfigStore"
    )


def _described_choices(places: list[str]) -> str:
    """What --help says of the config groups, and of the groups in the user's folders."""
    return for_help([CONFIG_FOLDER, *search_folders(places)])


@contextlib.contextmanager
def composing() -> Iterator[None]:
    """Turn what Hydra raises while it composes into a `UserError` with one sentence."""
    try:
        yield
    except COMPOSING as error:
        raise UserError(explain(error)) from error


def compose_config(overrides: list[str], *, with_hydra: bool = False) -> DictConfig:
    """The config that train.py would get with `overrides`; `with_hydra` keeps Hydra's own node."""
    prepare_process()
    with composing():
        packages = grants.named_in(overrides)
        with initialize_config_dir(str(CONFIG_FOLDER), version_base="1.3"):
            arguments = checked_arguments(overrides)
            cfg = compose("train", arguments, return_hydra_config=with_hydra)
    if packages:
        grants.grant(packages)
    return cfg


def _complain(sentence: str) -> int:
    print(f"error: {sentence}", file=sys.stderr)
    return 1
