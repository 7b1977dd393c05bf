"""One job: its config, and the file that freezes it so that any process can do the job.

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
from yaml import YAMLError

from ghostexp.config.explain import UserError, explain_yaml
from ghostexp.files.atomic import write_text
from ghostexp.results.record import FROZEN, command_line
from ghostexp.sweeps.resumed import resumed_config

FACTS = {  # what a frozen job says of itself
    *("command", "number", "total", "swept", "choices", "overrides", "config_folders", "config"),
}


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
    def frozen(self) -> Path:
        """File beside the folder that `freeze` writes and `thaw` reads."""
        return frozen_path(self.directory)

    @property
    def resumes(self) -> bool:
        """Whether the command line says resume=FOLDER."""
        return self.overrides.get("resume") is not None

    @property
    def augmentation(self) -> str | None:
        """The chosen file of conf/augment; a run that goes on has proved its choice."""
        return None if self.resumes else self.choices.get("augment")

    @property
    def title(self) -> str:
        """`job 3 of 9: model.ratio=4` in a grid, else the folder."""
        return f"job {self.number} of {self.total}: {self.name}" if self.total > 1 else self.name

    def freeze(self) -> None:
        """Write the job beside its folder, so that later edits of YAML change nothing."""
        path = self.frozen
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

    In a sweep it is the job that the sweep froze. A single run has the config that Hydra composed,
    or the saved config of the run that is resumed.
    """
    directory = Path(hydra.runtime.output_dir)
    if hydra.mode == RunMode.MULTIRUN:
        return thaw(frozen_path(directory))
    parsed = parse(OmegaConf.to_container(hydra.overrides.task, resolve=False))
    values = {override.key_or_group: override.value() for override in parsed}
    choices = chosen(hydra)
    if values.get("resume") is not None:
        cfg = resumed_config(directory, cfg, choices, parsed)
    return Job(
        directory=directory,
        config=cfg,
        overrides=values,
        choices=choices,
        config_folders=config_folders(hydra),
        command=command_line(),
    )


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


def frozen_path(directory: Path) -> Path:
    """File that freezes the job of a folder."""
    return directory.parent / FROZEN / f"{directory.name}.yaml"


def thaw(path: Path) -> Job:
    """The job of a sweep that `path` freezes; `UserError` where the file is no such job."""
    path = path.absolute()
    try:
        frozen = OmegaConf.to_container(OmegaConf.load(path), resolve=False)
    except YAMLError as error:
        raise UserError(explain_yaml(error)) from error
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path} cannot be read: {error}") from error
    if path.parent.name != FROZEN or not isinstance(frozen, dict) or not frozen.keys() >= FACTS:
        raise UserError(
            f"{path} is no job of a sweep: a sweep writes its jobs to outputs/NAME/{FROZEN}/*.yaml"
        )
    return Job(
        directory=path.parent.parent / path.stem,
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
