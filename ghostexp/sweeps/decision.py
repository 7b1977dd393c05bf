"""What to do with a job: what an earlier launch left of it, against what is asked now."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from ghostexp.config.explain import UserError
from ghostexp.results.identity import differences, result_part
from ghostexp.results.record import Record, read_sound_record
from ghostexp.sweeps.job import Job

CHECKPOINTS = ("last.ckpt", "partial.ckpt")  # that a run can go on from


@dataclass(frozen=True)
class Decision:
    """What to do with a job: nothing if it is finished, else go on from a checkpoint or start.

    `changed` names the keys whose values differ from the earlier launch's.
    """

    finished: Record | None = None
    goes_on: bool = False
    earlier: Record | None = None
    changed: list[str] = field(default_factory=list)


def decide(job: Job) -> Decision:
    """Compare what is asked with what an earlier launch left in the job's folder.

    The job's config is complete, and nobody else writes into the folder. `UserError` where going on
    would lose a training or mix two.
    """
    directory, config, rerun = job.directory, result_part(resolved(job.config)), job.config.rerun
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
    kept = has_checkpoint(directory)
    loses = kept or record["status"] == "finished"
    if changed and loses and not (job.resumes and kept):
        raise _another_config(directory, record, changed)
    return Decision(goes_on=kept, earlier=record, changed=changed)


def has_checkpoint(directory: Path) -> bool:
    """Whether a run has left a checkpoint that it can go on from."""
    return any((directory / "checkpoints" / name).exists() for name in CHECKPOINTS)


def is_done(job: Job) -> bool:
    """Whether an earlier launch finished exactly this job, so that a launch would skip it."""
    try:
        decision = decide(job)
    except UserError:  # which whoever does the job will tell
        return False
    return decision.finished is not None


def resolved(cfg: DictConfig) -> dict[str, Any]:
    """The config as plain values; the run's own folder, which moves, is only named."""
    config = OmegaConf.to_container(cfg, resolve=False)
    config["run_dir"] = "RUN_DIR"
    return OmegaConf.to_container(OmegaConf.create(config), resolve=True)


def _another_config(directory: Path, record: Record, changed: list[str]) -> UserError:
    return UserError(
        f"{directory} was {record['status']} with another config ({'; '.join(changed)});"
        " rerun=true starts it over, name=... starts elsewhere"
    )
