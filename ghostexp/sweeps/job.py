"""One job: what Hydra knows of it, and what an earlier launch left to do of it.

A single run is a job as well: the only one of its launch.
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hydra.conf import HydraConf
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf

from ghostexp.config.cli import UserError
from ghostexp.files.atomic import write_text
from ghostexp.results.identity import differences, result_part
from ghostexp.results.record import (
    FROZEN,
    Record,
    command_line,
    read_record,
    read_sound_record,
)
from ghostexp.sweeps.resumed import resumed_config

SEVERAL_DEVICES = (
    "several devices start their processes by repeating the command line, which would start the"
    " whole sweep in each: run the points one by one"
)
CHECKPOINTS = ("last.ckpt", "partial.ckpt")  # that a run can go on from


@dataclass(frozen=True)
class Job:
    """One job: its folder, its config and where the config came from.

    `overrides` are all values of the command line by key, `swept` those that the sweep varies,
    `choices` the chosen file of each config group. `number` counts the jobs of a grid from 1.
    """

    directory: Path
    config: DictConfig
    overrides: dict[str, Any]
    choices: dict[str, str]
    config_folders: list[Path]
    command: str
    swept: dict[str, Any] = field(default_factory=dict)
    multirun: bool = False
    number: int = 1
    total: int = 1

    @property
    def name(self) -> str:
        return self.directory.name

    @property
    def resumes(self) -> bool:
        """Whether the command line says resume=FOLDER."""
        return self.overrides.get("resume") is not None

    @property
    def title(self) -> str:
        """`job 3 of 9: model.ratio=4` in a grid, else the folder."""
        return f"job {self.number} of {self.total}: {self.name}" if self.total > 1 else self.name

    def freeze(self) -> None:
        """Write the job beside its folder, so that later edits of YAML change nothing."""
        path = _frozen_path(self.directory)
        path.parent.mkdir(parents=True, exist_ok=True)
        facts = {
            "command": self.command,
            "number": self.number,
            "total": self.total,
            "swept": self.swept,
            "choices": self.choices,
            "overrides": self.overrides,
            "config_folders": [str(folder) for folder in self.config_folders],
            "config": self.config,
        }
        write_text(path, OmegaConf.to_yaml(OmegaConf.create(facts)))


def job_of_hydra(cfg: DictConfig, hydra: HydraConf) -> Job:
    """The job that this process runs now; `hydra` is Hydra's own node of its config.

    The job of a grid is the one that the sweep froze. A trial of a search, and a single run, are
    what Hydra composed, or the saved config of the run that is gone on with.
    """
    directory = Path(hydra.runtime.output_dir)
    multirun = hydra.mode == RunMode.MULTIRUN
    if multirun and is_grid(hydra):
        return _thawed(directory)
    parsed = parse(OmegaConf.to_container(hydra.overrides.task, resolve=False))
    values = {override.key_or_group: override.value() for override in parsed}
    choices = chosen(hydra)
    if not multirun and values.get("resume") is not None:
        cfg = resumed_config(directory, choices, parsed)
    fixed = set(hydra.job.config.override_dirname.exclude_keys)
    return Job(
        directory=directory,
        config=cfg,
        overrides=values,
        choices=choices,
        config_folders=config_folders(hydra),
        command=command_line(),
        swept={key: values[key] for key in values if multirun and key not in fixed},
        multirun=multirun,
    )


def is_grid(hydra: DictConfig) -> bool:
    """Whether the sweep goes over a grid, whose points are known before the first job."""
    return hydra.sweeper._target_.endswith("GridSweeper")


def parse(arguments: list[str]) -> list[Override]:
    """Overrides of a command line as Hydra reads them."""
    return OverridesParser.create().parse_overrides(arguments)


def chosen(hydra: DictConfig) -> dict[str, str]:
    """The chosen file of each of our config groups."""
    return {
        group: choice
        for group, choice in hydra.runtime.choices.items()
        if choice is not None and group.partition("/")[0] != "hydra"
    }


def config_folders(hydra: DictConfig) -> list[Path]:
    """Folders of YAML files that a config was composed from."""
    sources = hydra.runtime.config_sources
    return [Path(source.path) for source in sources if source.schema == "file"]


@dataclass(frozen=True)
class Decision:
    """What to do with a job: nothing if it is finished, else go on from a checkpoint or start.

    `changed` names the keys whose values differ from the earlier launch's.
    """

    finished: Record | None = None
    goes_on: bool = False
    earlier: Record | None = None
    changed: list[str] = field(default_factory=list)


def decide(directory: Path, config: dict[str, Any], *, rerun: bool, resume: bool) -> Decision:
    """Compare what is asked with what an earlier launch left in `directory`, which we own.

    `config` is the resolved config's `result_part`. `UserError` where going on would lose a
    training or mix two.
    """
    try:
        record = read_sound_record(directory)
    except ValueError as error:
        if rerun:
            return Decision(earlier={})
        raise UserError(f"{error}; rerun=true starts the run over") from error
    if record is None:
        return Decision()
    if rerun:
        return Decision(earlier=record)
    changed = differences(result_part(record.get("config") or {}), config)
    if record["status"] == "finished" and not changed:
        return Decision(finished=record)
    has_checkpoint = any((directory / "checkpoints" / name).exists() for name in CHECKPOINTS)
    loses = has_checkpoint or record["status"] == "finished"
    if changed and loses and not (resume and has_checkpoint):
        raise _another_config(directory, record, changed)
    return Decision(goes_on=has_checkpoint, earlier=record, changed=changed)


def is_finished(directory: Path) -> bool:
    """Whether an earlier launch finished the job of `directory`; a broken record counts as no."""
    try:
        record = read_record(directory)
    except ValueError:
        return False
    return record is not None and record["status"] == "finished"


def check_devices(trainer: DictConfig) -> None:
    """Refuse in a sweep a trainer whose config says that it starts further processes."""
    strategy = str(trainer.get("strategy") or "auto")
    ddp = strategy.startswith("ddp") and "spawn" not in strategy
    several = isinstance(trainer.devices, int) and trainer.devices > 1
    if ddp or (strategy == "auto" and several):
        raise UserError(
            f"trainer.strategy={strategy} trainer.devices={trainer.devices}: {SEVERAL_DEVICES}"
        )


def _frozen_path(directory: Path) -> Path:
    return directory.parent / FROZEN / f"{directory.name}.yaml"


def _thawed(directory: Path) -> Job:
    frozen = OmegaConf.to_container(OmegaConf.load(_frozen_path(directory)), resolve=False)
    return Job(
        directory=directory,
        config=OmegaConf.create(frozen["config"]),  # a root again, which its keys interpolate from
        overrides=frozen["overrides"],
        choices=frozen["choices"],
        config_folders=[Path(folder) for folder in frozen["config_folders"]],
        command=frozen["command"],
        swept=frozen["swept"],
        multirun=True,
        number=frozen["number"],
        total=frozen["total"],
    )


def _another_config(directory: Path, record: Record, changed: list[str]) -> UserError:
    return UserError(
        f"{directory} was {record['status']} with another config ({'; '.join(changed)});"
        " rerun=true starts it over, name=... starts elsewhere"
    )
