"""The command line's manners: a user's slip gives one sentence and exit code 1, no stack trace."""

import argparse
import difflib
import functools
import logging
import os
import re
import signal
import sys
import warnings
from collections.abc import Callable, Iterable
from pathlib import Path

from hydra import compose, initialize_config_dir
from hydra.errors import HydraException, MissingConfigException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import (
    ConfigAttributeError,
    ConfigKeyError,
    InterpolationKeyError,
    OmegaConfBaseException,
)
from yaml import YAMLError
from yaml.error import MarkedYAMLError

from ghostexp.config import grants
from ghostexp.config.directories import register_resolvers
from ghostexp.config.output import drop, readable_output, steady_output

CONFIG_FOLDER = Path(__file__).resolve().parents[2] / "conf"
BY_A_RESOLVER = re.compile(r"\w+ raised while resolving interpolation: (.*)")
MAX_NAMES = 12  # that a sentence lists
OPTIONAL = {  # groups that a run can do without -> whether one is chosen where nothing is said
    **{"callbacks": True, "logger": True},
    **{"debug": False, "experiment": False, "search": False, "suspect": False},
}
EXTRAS = {  # package -> the extra of ours that installs it
    "timm": "timm",
    "librosa": "audio",
    "soundfile": "audio",
    "faster_coco_eval": "detection",
    "onnx": "export",
    "onnxruntime": "export",
    "onnxscript": "export",
    "openvino": "export",
    "optuna": "optuna",
}


class UserError(ValueError):
    """A mistake of the user's, told in one sentence."""


def call(main: Callable[[], None]) -> int:
    """Run a Hydra application; return the exit code."""
    os.environ.setdefault("HYDRA_FULL_ERROR", "1")  # errors come here instead of Hydra's printer
    with steady_output():
        try:
            prepare_process()
            sys.argv[1:] = checked_arguments(sys.argv[1:])
            main()
        except UserError as error:
            return _complain(str(error))
        except (HydraException, OmegaConfBaseException, YAMLError) as error:
            return _complain(explain(error))
        except KeyboardInterrupt:
            print("interrupted", file=sys.stderr)
            return 130
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


def add_grant(parser: argparse.ArgumentParser) -> None:
    """The option by which whoever calls a script trusts a package that a run's config names."""
    parser.add_argument(
        "--allow-target",
        action=_Grant,
        metavar="PACKAGE",
        help="let the run's config name what this package defines",
    )


def prepare_process() -> None:
    """What has to be in place before Hydra composes, here and in the workers of a sweep."""
    register_resolvers()
    grants.grant(grants.named_in(sys.argv[1:]))
    logging.raiseExceptions = False  # a log that cannot be written prints no stack traces
    # our launcher presets bear the plugins' names, and Hydra 1.3 holds them against their schemas
    warnings.filterwarnings("ignore", r"\s*'hydra/launcher/\w+' is validated against ConfigStore")


def checked_arguments(arguments: list[str]) -> list[str]:
    """Arguments of a command line as Hydra takes them; `UserError` for what no run may be told.

    Hydra 1.3 ends with a stack trace at GROUP=null and GROUP=3.
    """
    taken = []
    for argument in arguments:
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
        else:
            taken.append(argument)
    return taken


def is_no_name(value: str) -> bool:
    """Whether Hydra reads a value as a number or a truth, which no choice of a group can be."""
    return re.fullmatch(r"[+-]?[\d_]*\.?[\d_]+(e[+-]?\d+)?|true|false", value.lower()) is not None


def compose_config(overrides: list[str]) -> DictConfig:
    """The config that train.py would get with `overrides`, for scripts and tests."""
    register_resolvers()
    try:
        packages = grants.named_in(overrides)
        with initialize_config_dir(str(CONFIG_FOLDER), version_base="1.3"):
            cfg = compose("train", checked_arguments(overrides))
    except (HydraException, OmegaConfBaseException, YAMLError) as error:
        raise UserError(explain(error)) from error
    if packages:
        grants.grant(packages)
    return cfg


def explain(error: Exception) -> str:
    """One sentence for an error that Hydra, OmegaConf or YAML raised while it composed."""
    for each in _causes(error):
        if isinstance(each, UserError):
            return str(each)
        if isinstance(each, YAMLError):
            return explain_yaml(each)
    told_by_a_resolver = BY_A_RESOLVER.match(str(error))
    if told_by_a_resolver:
        return told_by_a_resolver[1]
    if isinstance(error, InterpolationKeyError):
        place = f"{error.full_key}: " if error.full_key else ""
        return f"{place}{str(error).splitlines()[0]}"
    cause = error.__cause__
    if isinstance(error, MissingConfigException):
        return _unknown_choice(error)
    if isinstance(cause, ConfigKeyError | ConfigAttributeError) and cause.parent_node is not None:
        return f"{error.args[0].splitlines()[0]} No such key{_nearest_key(cause)}"
    return " ".join(str(cause or error).split())


def explain_yaml(error: YAMLError) -> str:
    """File, line and what is wrong there."""
    if isinstance(error, MarkedYAMLError) and error.problem_mark is not None:
        mark = error.problem_mark
        return f"{mark.name}, line {mark.line + 1}: this is no YAML ({error.problem})"
    return f"this is no YAML ({' '.join(str(error).split())})"


def how_to_install(error: ImportError) -> str:
    """`needs X, which is not installed: pip install Y`, or what the library itself says."""
    if error.name is None:
        return " ".join(str(error).split())
    package = error.name.split(".")[0]
    extra = f"'ghostexp[{EXTRAS[package]}]'" if package in EXTRAS else package
    return f"needs the package {package}, which is not installed: pip install {extra}"


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """`; did you mean X?` for the known word nearest to `word`, or known ones where none is."""
    names = sorted(known)
    if not names:
        return ""
    near = difflib.get_close_matches(word, names, n=1, cutoff=0.6)
    if near:
        return f"; did you mean {near[0]}?"
    more = ", ..." if len(names) > MAX_NAMES else ""
    return f"; there is {', '.join(names[:MAX_NAMES])}{more}"


def _causes(error: BaseException | None) -> Iterable[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def _nearest_key(error: ConfigKeyError | ConfigAttributeError) -> str:
    """The full key that an unknown one may mean: of the same name elsewhere, or nearest to it."""
    place, _, last = str(error.full_key).rpartition(".")
    beside = {f"{place}.{key}" if place else str(key) for key in error.parent_node}
    root = OmegaConf.to_container(error.parent_node._get_root(), resolve=False)
    same = [key for key in _full_keys(root) if key.rpartition(".")[2] == last]
    return f"; did you mean {same[0]}?" if same else did_you_mean(str(error.full_key), beside)


def _full_keys(tree: dict, prefix: str = "") -> Iterable[str]:
    """Dotted keys of all values, first those of the groups that a person changes most."""
    order = {"optimizer": 0, "trainer": 1, "dataset": 2, "model": 3, "task": 4, "sched": 5}
    for key, value in sorted(tree.items(), key=lambda item: order.get(str(item[0]), 6)):
        if isinstance(value, dict):
            yield from _full_keys(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}"


def _unknown_choice(error: MissingConfigException) -> str:
    if not error.missing_cfg_file or not error.options:
        return " ".join(str(error).split())
    group, _, choice = error.missing_cfg_file.rpartition("/")
    return f"{group}={choice}: no such choice{did_you_mean(choice, error.options)}"


def _complain(sentence: str) -> int:
    print(f"error: {sentence}", file=sys.stderr)
    return 1
