"""The points of a grid: every combination of the swept values, composed at the launch."""

from collections import Counter
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

from hydra.core.config_loader import ConfigLoader
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from omegaconf import DictConfig, open_dict, read_write

from ghostexp.config.choices import CONFIG_FOLDER
from ghostexp.config.directories import check_name
from ghostexp.config.explain import UserError
from ghostexp.results.record import command_line
from ghostexp.sweeps.compose import Composer, parsed
from ghostexp.sweeps.job import Job, chosen, config_folders, parse

OF_THE_SWEEP = ("on_error", "rerun")  # keys that say nothing of a job
SEED = "seed"


@dataclass(frozen=True)
class Point:
    """One grid point: the job, and its config as Hydra runs it, with Hydra's own node."""

    job: Job
    composed: DictConfig


def grid_arguments(params: dict[str, Any], task: list[str]) -> list[str]:
    """Overrides of a sweep: the preset's overrides, unless the command line says otherwise.

    A key whose value is null in `params` is left out.
    """
    left_out = {override.key_or_group for override in parse(task)}
    left_out |= {key for key, value in params.items() if value is None}
    return [*(f"{key}={value}" for key, value in params.items() if key not in left_out), *task]


def compose_points(
    config: DictConfig, arguments: list[str], preset: set[str], loader: ConfigLoader
) -> list[Point]:
    """Every point of the grid that `arguments` span; the last argument varies fastest.

    A key varies if the command line sweeps it, or if the `preset` does. The seed varies if it is
    given at all, so that a later launch adds seeds to a sweep. `UserError` for arguments that no
    sweep can have, and for two points that would share a folder.
    """
    given = OverridesParser.create(config_loader=loader).parse_overrides(arguments)
    _check_arguments(given)
    varied = [each for each in given if each.is_sweep_override() or each.key_or_group == SEED]
    swept = {each.key_or_group for each in varied} | preset
    points = list(product(*map(_texts, given)))
    compose = Composer(config, loader)
    composed = [
        compose_point(compose, list(overrides), swept, (number, len(points)))
        for number, overrides in enumerate(points, 1)
    ]
    _check_folders(composed)
    try:
        for point in composed:
            check_name(point.job.config.name)
    except ValueError as error:
        raise UserError(str(error)) from None
    return composed


def _texts(override: Override) -> list[str]:
    """`key=value` for each value of an override."""
    key = override.get_key_element()
    if not override.is_sweep_override():
        return [f"{key}={override.get_value_element_as_str()}"]
    if not override.is_discrete_sweep():
        raise UserError(
            f"{override.input_line}: a grid needs single values, such as {key}=1,2,3; an interval"
            " is for a search (search=optuna)"
        )
    texts = list(override.sweep_string_iterator())
    if not texts:
        raise UserError(f"{override.input_line} yields no value, so there is no job")
    if "null" in texts and (CONFIG_FOLDER / key).is_dir():
        raise UserError(
            f"{override.input_line}: choose files of conf/{key}; null is not one of them"
        )
    return [f"{key}={text}" for text in texts]


def compose_point(
    compose: Composer,
    overrides: list[str],
    swept: set[str],
    number: tuple[int, int] = (1, 1),
) -> Point:
    """The point with these overrides; `number` is its place in a grid, and the grid's size."""
    composed = compose(overrides)
    values = {each.key_or_group: each.value() for each in map(parsed, overrides)}
    varied = {key: value for key, value in values.items() if key in swept}
    texts = dict(each.split("=", 1) for each in overrides)
    with read_write(composed), open_dict(composed):
        hydra = composed.hydra
        _settle(hydra, [f"{key}={texts[key]}" for key in sorted(varied) if key in texts])
    job_config = composed.copy()
    with read_write(job_config), open_dict(job_config):
        del job_config["hydra"]
    job = Job(
        directory=Path(hydra.sweep.dir) / hydra.sweep.subdir,
        config=job_config,
        overrides=values,
        choices=chosen(hydra),
        config_folders=config_folders(hydra),
        command=command_line(),
        swept=varied,
        multirun=True,
        number=number[0],
        total=number[1],
    )
    return Point(job, composed)


def _settle(hydra: DictConfig, varied: list[str]) -> None:
    """Give the job its folder in plain text: a worker may lack our resolvers and working folder."""
    hydra.job.override_dirname = ",".join(varied)
    hydra.sweep.dir = str(Path(hydra.sweep.dir).absolute())
    hydra.sweep.subdir = str(hydra.sweep.subdir)


def _check_arguments(given: list[Override]) -> None:
    counts = Counter(override.key_or_group for override in given)
    for key, count in counts.items():
        if count > 1:  # Hydra would take the last value without a word
            raise UserError(f"{key} is given {count} times: write {key}=A,B for several values")
    for override in given:
        if override.key_or_group in OF_THE_SWEEP and override.is_sweep_override():
            raise UserError(f"{override.input_line}: a sweep has one value of it, for all jobs")
    if "resume" in counts:
        raise UserError("resume=... goes on with one run: leave -m out")


def _check_folders(points: list[Point]) -> None:
    folders = Counter(point.job.directory for point in points)
    shared = [folder for folder, count in folders.items() if count > 1]
    if shared:
        jobs = [p.job.swept for p in points if p.job.directory == shared[0]]
        raise UserError(
            f"{len(jobs)} jobs would share the folder {shared[0]} ({jobs[0]}, {jobs[1]}, ...):"
            " leave hydra.sweep.subdir out, or give each swept value once"
        )
