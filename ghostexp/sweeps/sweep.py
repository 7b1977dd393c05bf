"""Jobs of a sweep, or a single run as the only job: where they live, and what is left to do.

Hydra launches jobs and knows nothing of earlier launches. Here every job has a folder named by the
values that the sweep varies, a record in it says how far an earlier launch came, and the composed
configs of all grid points are frozen before the first job starts.
"""

import logging
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.experimental.callback import Callback
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf, open_dict, read_write

from ghostexp.config.cli import UserError
from ghostexp.files.atomic import write_text
from ghostexp.results.identity import differences
from ghostexp.results.record import FROZEN, Record, read_record
from ghostexp.sweeps.launch import claim, read_once

log = logging.getLogger(__name__)

KEPT_BY_RERUN = {"train.log"}
SEVERAL_DEVICES = (
    "several devices start their processes by repeating the command line, which would start the"
    " whole sweep in each: run the points one by one"
)


@dataclass(frozen=True)
class Job:
    """What Hydra knows of one job."""

    directory: Path
    multirun: bool
    resumes: bool  # resume=FOLDER was given
    overrides: dict[str, Any]  # all of the command line's and the sweep's, by key
    swept: dict[str, Any]  # those that the sweep varies
    choices: dict[str, str]
    config_folders: list[Path]

    @classmethod
    def of_hydra(cls, hydra: DictConfig) -> "Job":
        """Job that this process runs now, from Hydra's own node."""
        multirun = hydra.mode == RunMode.MULTIRUN
        overrides = {
            override.key_or_group: override.value()
            for override in OverridesParser.create().parse_overrides(list(hydra.overrides.task))
        }
        fixed = set(hydra.job.config.override_dirname.exclude_keys)
        return cls(
            directory=Path(hydra.runtime.output_dir),
            multirun=multirun,
            resumes=overrides.get("resume") is not None,
            overrides=overrides,
            swept={k: v for k, v in overrides.items() if multirun and k not in fixed},
            choices={
                group: choice
                for group, choice in hydra.runtime.choices.items()
                if choice is not None and group.partition("/")[0] != "hydra"
            },
            config_folders=_config_folders(hydra),
        )


@dataclass(frozen=True)
class Decision:
    """What to do with a job: nothing if it is finished, else go on from a checkpoint or start."""

    finished: Record | None = None
    checkpoint: Path | None = None
    earlier: Record | None = None
    goes_on: bool = False  # from the furthest checkpoint, if there is one


def job_config(cfg: DictConfig, job: Job) -> DictConfig:
    """Config to run: the one frozen at the sweep's launch, the resumed run's own, or `cfg`."""
    frozen = job.directory.parent / FROZEN / f"{job.directory.name}.yaml"
    if job.multirun and frozen.exists():
        return OmegaConf.load(frozen)
    if job.resumes:
        return _resumed_config(job)
    return cfg


def decide(directory: Path, config: dict[str, Any], *, rerun: bool, resume: bool) -> Decision:
    """Compare what is asked with what an earlier launch left in `directory`."""
    record = read_record(directory)
    if record is None:
        return Decision()
    if record["status"] == "running":
        raise UserError(f"{directory} is being run by process {record['pid']} of {record['host']}")
    if rerun:
        return Decision(earlier=record)
    differing = differences(record.get("config", {}), config)
    if resume:  # may extend the training, or change any value of it, by its own command line
        finished = record["status"] == "finished" and not differing
    else:
        finished = record["status"] == "finished"
        if differing and record["status"] != "failed":
            raise UserError(
                f"{directory} was {record['status']} with another config"
                f" ({'; '.join(differing)}); rerun=true starts it over, name=... starts elsewhere"
            )
    if finished:
        return Decision(finished=record)
    return Decision(earlier=record, goes_on=resume or not differing)


class SweepCallback(Callback):
    """Before a sweep's first job: name what varies, check every grid point, freeze its config."""

    def on_multirun_start(self, config: DictConfig, **kwargs: Any) -> None:
        read_once(GlobalHydra.instance().config_loader())
        arguments = sweep_arguments(config)
        parsed = OverridesParser.create().parse_overrides(arguments)
        swept = {override.key_or_group for override in parsed if override.is_sweep_override()}
        fixed = sorted({override.key_or_group for override in parsed} - swept)
        with read_write(config), open_dict(config):
            config.hydra.overrides.hydra.append(
                f"hydra.job.config.override_dirname.exclude_keys=[{','.join(fixed)}]"
            )
        try:
            self.notes = _prepare_jobs(config, parsed)
        except UserError as error:  # Hydra only warns of a callback's exceptions
            raise SystemExit(f"error: {error}") from None

    def on_multirun_end(self, config: DictConfig, **kwargs: Any) -> None:
        for note in self.notes:
            note.unlink(missing_ok=True)


@dataclass(frozen=True)
class FrozenJob:
    """One grid point of a sweep, composed at the launch."""

    directory: Path
    config: DictConfig
    config_folders: list[Path]

    @property
    def name(self) -> str:
        return self.directory.name

    def freeze(self) -> None:
        """Write the config, so that later edits of YAML change nothing."""
        folder = self.directory.parent / FROZEN
        folder.mkdir(parents=True, exist_ok=True)
        write_text(folder / f"{self.name}.yaml", OmegaConf.to_yaml(self.config))


def check_devices(trainer: DictConfig) -> None:
    """Refuse in a sweep a trainer whose config says that it starts further processes."""
    strategy = str(trainer.get("strategy") or "auto")
    ddp = strategy.startswith("ddp") and "spawn" not in strategy
    several = isinstance(trainer.devices, int) and trainer.devices > 1
    if ddp or (strategy == "auto" and several):
        raise UserError(
            f"trainer.strategy={strategy} trainer.devices={trainer.devices}: {SEVERAL_DEVICES}"
        )


def _prepare_jobs(config: DictConfig, overrides: list[Override]) -> list[Path]:
    """Check all jobs, claim them, freeze their configs; of a search they are not known yet."""
    if not config.hydra.sweeper._target_.endswith("BasicSweeper"):
        check_devices(config.trainer)
        return []
    from ghostexp.sweeps.preflight import preflight  # torch loads when a sweep starts

    jobs = compose_grid(config, BasicSweeper.split_arguments(overrides, max_batch_size=None)[0])
    preflight(jobs)
    notes = claim([job.directory for job in jobs])
    for job in jobs:
        job.freeze()
    return notes


def sweep_arguments(config: DictConfig) -> list[str]:
    """Overrides of a sweep: the preset's (hydra.sweeper.params), then the command line's."""
    params = config.hydra.sweeper.get("params") or {}
    given = {override.split("=", 1)[0].lstrip("+") for override in config.hydra.overrides.task}
    preset = [f"{key}={value}" for key, value in params.items() if key not in given]
    return [*preset, *config.hydra.overrides.task]


def compose_grid(config: DictConfig, grid: list[list[str]]) -> list[FrozenJob]:
    """Every grid point as Hydra will compose it."""
    loader = GlobalHydra.instance().config_loader()
    jobs = []
    for overrides in grid:
        composed = loader.load_sweep_config(config, list(overrides))
        directory = Path(composed.hydra.sweep.dir) / composed.hydra.sweep.subdir
        folders = _config_folders(composed.hydra)
        with read_write(composed), open_dict(composed):
            del composed["hydra"]
        jobs.append(FrozenJob(directory, composed, folders))
    return jobs


def is_finished(directory: Path) -> bool:
    """Whether an earlier launch finished the job of `directory`."""
    record = read_record(directory)
    return record is not None and record["status"] == "finished"


def _config_folders(hydra: DictConfig) -> list[Path]:
    sources = hydra.runtime.config_sources
    return [Path(source.path) for source in sources if source.schema == "file"]


def _resumed_config(job: Job) -> DictConfig:
    saved = job.directory / ".hydra" / "config.yaml"
    if not saved.exists():
        raise UserError(f"resume={job.directory}: no run lives there ({saved} is missing)")
    cfg = OmegaConf.load(saved)
    OmegaConf.set_struct(cfg, True)
    for key, value in job.overrides.items():
        if key == "resume":
            continue
        if key in job.choices or OmegaConf.select(cfg, key) is None:
            raise UserError(
                f"resume goes on with the run's saved config, of which {key} is no value to change"
            )
        OmegaConf.update(cfg, key, value)
    return cfg


def clear(directory: Path) -> None:
    """Remove what an earlier launch left, but for the log."""
    for path in directory.iterdir():
        if path.name in KEPT_BY_RERUN:
            continue
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink()
