"""Errors in one sentence that a person can act on."""

import difflib
import re
from collections.abc import Iterable

from hydra.errors import HydraException, MissingConfigException, OverrideParseException
from omegaconf import OmegaConf
from omegaconf.errors import (
    ConfigAttributeError,
    ConfigKeyError,
    OmegaConfBaseException,
)
from yaml import YAMLError
from yaml.error import MarkedYAMLError

from ghostexp.config.libraries import named_in_a_library

BY_A_RESOLVER = re.compile(r"\w+ raised while resolving interpolation: (.*)")
PLUGIN = re.compile(r"Unknown plugin class : 'hydra_plugins\.hydra_(\w+?)_(launcher|sweeper)\.")
MAX_NAMES = 12  # that a sentence lists
EXTRAS = {  # package -> the extra of ours that installs it
    "timm": "timm",
    "librosa": "audio",
    "soundfile": "audio",
    "soxr": "audio",
    "faster_coco_eval": "detection",
    "onnx": "export",
    "onnxruntime": "export",
    "onnxscript": "export",
    "openvino": "export",
    "optuna": "optuna",
    "datasets": "datasets",
    "simplejpeg": "jpeg",
    "s3fs": "s3",
    "huggingface_hub": "hub",
    "mlflow": "mlflow",
    "wandb": "wandb",
}


class UserError(ValueError):
    """A mistake of the user's, told in one sentence."""


# what composing a config raises; UserWarning: `prepare_process` makes one of Hydra's an error
COMPOSING = (HydraException, OmegaConfBaseException, YAMLError, UserWarning)


def explain(error: Exception) -> str:
    """One sentence for an error that Hydra, OmegaConf or YAML raised while it composed."""
    for each in _causes(error):
        if isinstance(each, UserError):
            return str(each)
        if isinstance(each, YAMLError):
            return explain_yaml(each)
    if plugin := PLUGIN.search(str(error)):
        name, kind = plugin.groups()
        package = f"hydra-{name}-{kind}"
        return (
            f"needs the package {package}, which is not installed: pip install 'ghostexp[{name}]'"
        )
    if isinstance(error, UnicodeDecodeError):
        return f"a YAML file of the config is no text in UTF-8 ({error})"
    if isinstance(error, RecursionError):
        return "the defaults list of a YAML file of the config leads back to that file"
    if isinstance(error, OverrideParseException):
        return _unreadable(error)
    cause = error.__cause__
    if isinstance(error, MissingConfigException):
        return _unknown_choice(error)
    if isinstance(cause, ConfigKeyError | ConfigAttributeError) and cause.parent_node is not None:
        told, key = error.args[0].splitlines()[0], cause.full_key
        within = "" if f"'{key}'" in told else f" as {key}"  # which a value in braces names
        return f"{told} No such key{within}{_nearest_key(cause)}"
    told = cause or error
    if isinstance(told, OmegaConfBaseException):
        return _first_line(told)
    return " ".join(str(told).split()) or type(told).__name__


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


def _first_line(error: OmegaConfBaseException) -> str:
    """What OmegaConf, or a resolver, says of a key, which is named first."""
    line = str(error).splitlines()[0]
    told_by_a_resolver = BY_A_RESOLVER.match(line)
    if told_by_a_resolver:
        line = told_by_a_resolver[1]
    key = str(error.full_key or "")
    return line if not key or f"'{key}'" in line else f"{key}: {line}"


def _unreadable(error: OverrideParseException) -> str:
    """Hydra's words where they are about a value; the words of its parser help nobody."""
    if error.__cause__ is not None:
        return f"{error.override}: {' '.join(str(error.__cause__).split())}"
    return (
        f"{error.override} cannot be read as key=value: a value with =, quotes, brackets or spaces"
        " stands in quotes of its own, such as 'key=\"a value\"'"
    )


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
    """Dotted keys of all values; keys of the groups that people change most come first."""
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
    library = named_in_a_library(choice) if group == "model" else None
    if library is not None:
        return (
            f"model={choice}: no such choice; {library[0]} has it: model=converted {library[1]},"
            " where model.ratio=1 keeps it dense"
        )
    return f"{group}={choice}: no such choice{did_you_mean(choice, error.options)}"
