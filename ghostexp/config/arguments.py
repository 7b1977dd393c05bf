"""What a user writes behind train.py, before Hydra reads it: refused, or put as Hydra takes it."""

import contextlib
import difflib
import io
import re

from hydra._internal.utils import get_args_parser

from ghostexp.config.choices import CONFIG_FOLDER
from ghostexp.config.explain import UserError, did_you_mean

# options of Hydra whose value is the next word
VALUED = (
    *("--config-dir", "-cd", "--config-path", "-cp", "--config-name", "-cn", "--package", "-p"),
    *("--cfg", "-c", "--info", "-i", "--experimental-rerun"),
)
DRY_RUN = "--dry-run"  # an option of ours: Hydra has no place for it in its own config
NUMBERS = ("nan", "inf")  # words that Hydra's grammar takes for numbers; debug=nan is a choice
# a default of an experiment: its recipe, or another experiment
DEFAULT = re.compile(r"^ *- (/recipe/(?P<recipe>\w+)|(?P<experiment>[a-z]\w*))$", re.MULTILINE)
OPTIONAL = {  # groups that a run can do without -> whether one is chosen where nothing is said
    **{"callbacks": True, "logger": True},
    **{"debug": False, "experiment": False, "search": False, "suspect": False, "recipe": False},
}


def checked_arguments(arguments: list[str]) -> list[str]:
    """Arguments of a command line as Hydra takes them; `UserError` for what no run may be told."""
    options, values = _parted(arguments)
    if options:
        _check_options(options, arguments)
    _check_recipe(values)
    resumes = any(each.startswith("resume=") and each != "resume=null" for each in values)
    taken = []
    for argument in map(quoted, values):
        _check_form(argument)
        key, equals, value = argument.lstrip("+").partition("=")
        if key == "run_dir" and equals:
            raise UserError(
                f"run_dir={value}: the program names a run's folder, and name=NAME the folder of"
                " the runs below outputs/"
            )
        if (CONFIG_FOLDER / key).is_dir():
            taken += _choice(argument, key, value)
        else:
            taken.append(_of_the_resumed(argument) if resumes and equals else argument)
    return options + taken


def _parted(arguments: list[str]) -> tuple[list[str], list[str]]:
    """Options with their values, and `key=value`: argparse takes the second on one side only."""
    options, values = [], []
    for before, argument in zip(["", *arguments], arguments, strict=False):
        is_option = argument.startswith("-") or before in VALUED
        (options if is_option else values).append(argument)
    return options, values


def _check_options(options: list[str], arguments: list[str]) -> None:
    """Refuse what Hydra's parser would answer with a page of its usage."""
    parser, said = get_args_parser(), io.StringIO()
    try:
        with contextlib.redirect_stderr(said):
            unknown = parser.parse_known_args(options)[1]
    except SystemExit as stop:  # argparse has printed its usage and, behind it, what is wrong
        if not stop.code:  # --version
            raise
        sentence = said.getvalue().strip().rpartition("error: ")[2]
        raise UserError(f"{sentence}; --help explains the options") from None
    for option in unknown:
        name, _, value = option.lstrip("-").partition("=")
        _, *following = arguments[arguments.index(option) :]
        if not value and following and not re.search("^-|=", following[0]):
            value = following[0]
        known = [DRY_RUN, *parser._option_string_actions]
        near = difflib.get_close_matches(option, known, n=1, cutoff=0.75)
        raise UserError(
            f"{option} is no option: write {name.replace('-', '_')}={value or 'VALUE'}, without"
            f" dashes before it{f', or {near[0]}' if near else ''}"
        )


def _check_form(argument: str) -> None:
    """Refuse what is no key=value, for which Hydra's parser has no word that helps."""
    if argument.lstrip("+").startswith("="):
        raise UserError(f"{argument} has no key: write key=value, without spaces around =")
    if "=" not in argument and not argument.startswith("~"):
        raise UserError(
            f"{argument or repr(argument)} is no key=value: write {argument or 'KEY'}=VALUE, or"
            f" KEY={argument or 'VALUE'} where it is a value, without spaces around ="
        )
    if argument.endswith(",") and not re.search(r"[\[{('\"]", argument):
        raise UserError(
            f"{argument} ends with a comma: spaces separate the keys, and key=A,B, without"
            " spaces, gives several values"
        )


def _check_recipe(arguments: list[str]) -> None:
    """Refuse a recipe beside an experiment that has one: Hydra would mix the two recipes."""
    chosen = dict(each.lstrip("+").partition("=")[::2] for each in arguments)
    recipe = chosen.get("recipe", "null")
    if recipe == "null":
        return
    for experiment in chosen.get("experiment", "").split(","):
        held = _recipe_of(experiment)
        if held not in (None, recipe):
            raise UserError(
                f"recipe={recipe}: experiment={experiment} trains with recipe={held}, and the two"
                " recipes would be mixed: experiment=short_pair takes any recipe"
            )


def _recipe_of(experiment: str) -> str | None:
    """The recipe in the defaults of an experiment, or of the experiment that it starts from."""
    file = CONFIG_FOLDER / "experiment" / f"{experiment}.yaml"
    default = DEFAULT.search(file.read_text()) if file.is_file() else None
    if default is None:
        return None
    return default["recipe"] or _recipe_of(default["experiment"])


def _choice(argument: str, key: str, value: str) -> list[str]:
    """The choice of a group; Hydra 1.3 ends with a stack trace at GROUP=null and GROUP=3."""
    if _is_no_name(value):
        raise UserError(f"{argument}: no such choice{did_you_mean(value, _choices(key))}")
    if value == "null" and key not in OPTIONAL:
        raise UserError(f"{argument}: a run needs one, choose {key}=NAME from conf/{key}")
    if value == "null":
        return [f"~{key}"] if OPTIONAL[key] else []
    return [argument.replace(f"={value}", f"='{value}'") if value in NUMBERS else argument]


def _choices(key: str) -> list[str]:
    return [path.stem for path in (CONFIG_FOLDER / key).glob("*.yaml")]


def quoted(argument: str) -> str:
    """`resume=PATH` as Hydra's grammar takes it, whose words end at `=`, `,` and brackets."""
    key, _, path = argument.partition("=")
    plain = path == "null" or re.fullmatch(r"[\w./-]*/[\w./-]*", path, re.ASCII)
    if key != "resume" or plain or path[:1] in "'\"":
        return argument
    # a backslash is itself, but for those before a quote
    escaped = re.sub(r"(\\*)('|$)", lambda m: 2 * m[1] + ("\\'" if m[2] else ""), path)
    return f"{key}='{escaped}'"


def _of_the_resumed(argument: str) -> str:
    """`++key=value`, which composes with any config.

    Hydra composes the values of a resume with the default config, which may lack the key. What
    counts is whether the saved config of the run has it, and the job looks there.
    """
    plain = argument[0] not in "+~-" and not argument.startswith(("resume=", "hydra", "allow_"))
    return f"++{argument}" if plain else argument


def _is_no_name(value: str) -> bool:
    """Whether Hydra reads a value as a number or a truth, which no choice of a group can be."""
    return re.fullmatch(r"[+-]?[\d_]*\.?[\d_]+(e[+-]?\d+)?|true|false", value.lower()) is not None
