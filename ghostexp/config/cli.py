"""The command line's manners: a user's slip gives one sentence and exit code 1, no stack trace."""

import argparse
import contextlib
import functools
import logging
import os
import re
import shlex
import signal
import sys
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

from hydra import compose, initialize_config_dir
from omegaconf import DictConfig, OmegaConf

from ghostexp.config import grants
from ghostexp.config.choices import for_help, search_folders
from ghostexp.config.directories import register_resolvers
from ghostexp.config.explain import COMPOSING, UserError, did_you_mean, explain
from ghostexp.config.output import drop, readable_output, settle, steady_output
from ghostexp.config.trace import REFUSED_LOG, keep_trace
from ghostexp.training.stopping import Stopped

__all__ = ["UserError", "did_you_mean", "explain"]

PACKAGE = Path(__file__).resolve().parents[1]
# installed, the configs lie in the package; in the repository, beside it
CONFIG_FOLDER = next(filter(Path.is_dir, (PACKAGE / "conf", PACKAGE.parent / "conf")))
# options of Hydra whose value is the next word
VALUED = (
    *("--config-dir", "-cd", "--config-path", "-cp", "--config-name", "-cn", "--package", "-p"),
    *("--cfg", "-c", "--info", "-i", "--experimental-rerun"),
)
NUMBERS = ("nan", "inf")  # words that Hydra's grammar takes for numbers; debug=nan is a choice
OPTIONAL = {  # groups that a run can do without -> whether one is chosen where nothing is said
    **{"callbacks": True, "logger": True},
    **{"debug": False, "experiment": False, "search": False, "suspect": False, "recipe": False},
}


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
    _check_resumed(sys.argv[1:])
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
    """What --help says of the config groups, with those of the user's folders."""
    return for_help([CONFIG_FOLDER, *search_folders(places)])


def checked_arguments(arguments: list[str]) -> list[str]:
    """Arguments of a command line as Hydra takes them; `UserError` for what no run may be told.

    Hydra 1.3 ends with a stack trace at GROUP=null and GROUP=3.
    """
    taken = []
    resumes = any(each.startswith("resume=") and each != "resume=null" for each in arguments)
    for argument in map(quoted, options_first(arguments)):
        key, equals, value = argument.lstrip("+").partition("=")
        if key == "run_dir" and equals:
            raise UserError(
                f"run_dir={value}: the program names a run's folder, and name=NAME the folder of"
                " the runs below outputs/"
            )
        is_group = key != "" and (CONFIG_FOLDER / key).is_dir()
        if equals and (not key or (is_group and is_no_name(value))):
            choices = [path.stem for path in (CONFIG_FOLDER / key).glob("*.yaml")]
            raise UserError(f"{argument}: no such choice{did_you_mean(value, choices)}")
        if is_group and value == "null":
            if key not in OPTIONAL:
                raise UserError(f"{argument}: a run needs one, choose {key}=NAME from conf/{key}")
            if OPTIONAL[key]:
                taken.append(f"~{key}")
        elif is_group and value in NUMBERS:
            taken.append(argument.replace(f"={value}", f"='{value}'"))
        else:
            later = resumes and equals and not is_group
            taken.append(of_the_resumed(argument) if later else argument)
    return taken


def _check_resumed(arguments: list[str]) -> None:
    """Refuse to resume a folder that is not there, before Hydra makes it."""
    for argument in arguments:
        key, _, path = argument.partition("=")
        named = key == "resume" and path not in ("", "null") and path[0] not in "'\""
        if named and not Path(path).is_dir() and not {"-m", "--multirun"} & {*arguments}:
            raise UserError(f"resume={path}: no run lives there, because it is no folder")


def options_first(arguments: list[str]) -> list[str]:
    """Options before values, because argparse refuses values on both sides of an option."""
    options, values = [], []
    for before, argument in zip(["", *arguments], arguments, strict=False):
        is_option = argument.startswith("-") or before in VALUED
        (options if is_option else values).append(argument)
    return options + values


def quoted(argument: str) -> str:
    """`resume=PATH` as Hydra's grammar takes it, whose words end at `=`, `,` and brackets."""
    key, _, path = argument.partition("=")
    plain = path == "null" or re.fullmatch(r"[\w./-]*/[\w./-]*", path, re.ASCII)
    if key != "resume" or plain or path[:1] in "'\"":
        return argument
    # a backslash is itself, but for those before a quote
    escaped = re.sub(r"(\\*)('|$)", lambda m: 2 * m[1] + ("\\'" if m[2] else ""), path)
    return f"{key}='{escaped}'"


def of_the_resumed(argument: str) -> str:
    """`++key=value`, which composes with any config.

    Hydra composes the values of a resume with the default config, which may lack the key. What
    counts is whether the saved config of the run has it, and the job looks there.
    """
    plain = argument[0] not in "+~-" and not argument.startswith(("resume=", "hydra", "allow_"))
    return f"++{argument}" if plain else argument


def is_no_name(value: str) -> bool:
    """Whether Hydra reads a value as a number or a truth, which no choice of a group can be."""
    return re.fullmatch(r"[+-]?[\d_]*\.?[\d_]+(e[+-]?\d+)?|true|false", value.lower()) is not None


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
