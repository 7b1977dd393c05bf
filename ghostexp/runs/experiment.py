"""One job, from its composed config to its record.

run(cfg)  decide (start, resume, skip), audit, build, fit, test, record
`load_run` and `load_network` (ghostexp/runs/load.py) take up its folder again.
"""

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf, open_dict, read_write
from pytorch_lightning.callbacks import ModelCheckpoint
from pytorch_lightning.loggers import TensorBoardLogger

from ghostexp.analysis.complexity import count_macs, count_params
from ghostexp.config.audit import audit
from ghostexp.config.build import (
    Parts,
    build_parts,
    refusals_of_lightning,
    users_mistakes,
)
from ghostexp.config.cli import UserError
from ghostexp.config.first_step import check_first_step
from ghostexp.data.folder import BadFile
from ghostexp.files.atomic import write_text
from ghostexp.results import record as records
from ghostexp.results.identity import digest, result_part
from ghostexp.runs import ranks
from ghostexp.runs.load import load_checkpoint, load_network, load_run
from ghostexp.runs.machine import describe_device
from ghostexp.sweeps.sweep import SEVERAL_DEVICES, Decision, Job, clear, decide, job_config
from ghostexp.training.callbacks import Throughput

__all__ = ["load_network", "load_run", "run"]

log = logging.getLogger(__name__)


def run(cfg: DictConfig) -> float | None:
    """Do the job that Hydra composed; return its objective, for a sweeper that searches."""
    hydra = HydraConfig.get()
    job = Job.of_hydra(hydra)
    with read_write(hydra):
        hydra.run.dir = str(job.directory)  # Lightning gives it to the ranks that it starts
    try:
        if ranks.is_further():
            return ranks.join(job.directory, _train)
        return run_job(job_config(cfg, job), job)
    except UserError as error:
        if job.multirun:
            raise  # Hydra goes on with the other jobs, and raises it at the end
        raise SystemExit(f"error: {error}") from None


def run_job(cfg: DictConfig, job: Job) -> float | None:
    """`run` without Hydra around it: the same for a config and a job from anywhere."""
    with open_dict(cfg):
        cfg.run_dir = str(job.directory)
    audit(cfg, job.config_folders)
    decision = decide(job.directory, digest_config(cfg), rerun=cfg.rerun, resume=job.resumes)
    if decision.finished is not None:
        log.info("%s finished already: skipped", job.directory)
        return objective(decision.finished)
    started = time.monotonic()
    record = _new_record(cfg, job, decision)
    try:
        if decision.checkpoint is not None:
            load_checkpoint(decision.checkpoint)  # refused before anything is overwritten
        parts = _prepare(cfg, record)
        if job.multirun and ranks.repeats_command(parts.trainer):  # devices=auto, on this machine
            raise UserError(SEVERAL_DEVICES)
        _begin(cfg, job, record, decision)
        with ranks.ending_together(parts.trainer, job.directory):
            _train(parts, record, decision.checkpoint)
        record["status"] = "finished"
    except (KeyboardInterrupt, SystemExit):  # Lightning turns Ctrl-C and SIGTERM into SystemExit
        record["status"] = "interrupted"
        raise KeyboardInterrupt from None
    except Exception as error:
        record |= {"status": "failed", "error": records.describe_error(error)}
        _log_failure(job, error)
        if job.multirun and cfg.on_error == "stop":
            raise SystemExit(1) from error
        raise
    finally:
        record["ended"] = records.now()
        record["wall_s"] += time.monotonic() - started
        if record["begun"] or decision.earlier is None:  # else the earlier record stands
            _write(job.directory, record)
    log.info("%s: %s", job.directory, _summary(record))
    return objective(record)


def objective(record: records.Record) -> float | None:
    """What a search compares runs by: validation, at the epoch chosen there; never the test."""
    best = record.get("best") or {}
    metrics = record["metrics"]
    return next(iter(best.values()), metrics.get("val/acc", metrics.get("val/map")))


def digest_config(cfg: DictConfig) -> dict[str, Any]:
    """The resolved config without what changes nothing about the result."""
    config = OmegaConf.to_container(cfg, resolve=False)
    config["run_dir"] = "RUN_DIR"
    config = OmegaConf.to_container(OmegaConf.create(config), resolve=True)
    return result_part(config)


def _new_record(cfg: DictConfig, job: Job, decision: Decision) -> records.Record:
    config = digest_config(cfg)
    earlier = (decision.checkpoint and decision.earlier) or {}  # of the run that is gone on with
    of_the_start = {key: earlier[key] for key in ("started", "command") if key in earlier}
    return records.new_record(
        **of_the_start,
        begun=False,
        name=cfg.name,
        run=job.directory.name,
        digest=digest(config),
        swept=earlier.get("swept", job.swept),
        choices=earlier.get("choices", job.choices),
        seed=cfg.seed,
        max_epochs=cfg.trainer.max_epochs,
        wall_s=earlier.get("wall_s", 0.0),
        throughput=earlier.get("throughput"),
        checkpoint=decision.checkpoint and str(decision.checkpoint),
        config=config,
    )


def _begin(cfg: DictConfig, job: Job, record: records.Record, decision: Decision) -> None:
    """From here on the folder is this run's: what an earlier launch left is cleared or gone on."""
    if decision.earlier is not None and decision.checkpoint is None:
        clear(job.directory)
    _save_config(cfg, job)
    record["begun"] = True
    _write(job.directory, record)
    if decision.checkpoint is not None:
        log.info("going on from %s", decision.checkpoint)


def _save_config(cfg: DictConfig, job: Job) -> None:
    folder = job.directory / ".hydra"
    folder.mkdir(exist_ok=True)
    write_text(folder / "config.yaml", OmegaConf.to_yaml(cfg))
    if not job.resumes:
        overrides = OmegaConf.to_yaml(OmegaConf.create(job.overrides))
        write_text(folder / "overrides.yaml", overrides)


def _write(directory: Path, record: records.Record) -> None:
    records.write_record(directory, record)


def _prepare(cfg: DictConfig, record: records.Record) -> Parts:
    """Build everything and load the data; what is known goes into `record` at once."""
    parts = build_parts(cfg)
    datamodule = parts.datamodule
    with users_mistakes("dataset"):
        datamodule.prepare_data()
        datamodule.setup("fit")
    left_over = datamodule.num_train % cfg.dataset.batch_size
    check_first_step(parts, left_over or cfg.dataset.batch_size)
    shape = datamodule.input_shape
    with users_mistakes("model"):
        record["network"] = {
            "params": count_params(parts.task.net),
            "macs": count_macs(parts.task.net, shape),
            "input_shape": list(shape),
        }
    record["dataset"] = {
        "class_names": datamodule.class_names,
        "category_ids": getattr(datamodule, "category_ids", None),  # of detection
        "num_train": datamodule.num_train,
        "root": cfg.dataset.get("root"),
    }
    record["device"] = describe_device(parts.trainer)
    record["precision"] = str(parts.trainer.precision)
    return parts


@contextmanager
def _users_data() -> Iterator[None]:
    """What data or values do to a training in its midst, as one sentence."""
    try:
        yield
    except FloatingPointError as error:  # a task's: its loss is no longer finite
        raise UserError(str(error)) from error
    except BadFile as error:  # a worker process puts its traceback before the sentence
        sentence = str(error).strip().splitlines()[-1].rpartition(f"{BadFile.__name__}: ")[2]
        raise UserError(f"dataset: {sentence}") from error


@refusals_of_lightning()
@_users_data()
def _train(parts: Parts, record: records.Record, checkpoint: Path | None) -> None:
    """Fit, from `checkpoint` if there is one, and test."""
    trainer = parts.trainer
    data = parts.datamodule
    trainer.fit(parts.task, datamodule=data, ckpt_path=checkpoint, weights_only=True)
    record["device"] = describe_device(trainer)  # Lightning divided the threads among processes
    record["epochs"] = trainer.current_epoch
    record["metrics"] = _metrics(trainer)
    record["throughput"] = _throughput(trainer) or record["throughput"]  # none where fit had ended
    _test(parts, record)


def _test(parts: Parts, record: records.Record) -> None:
    """Test the epoch chosen on the validation split, or the last; never one chosen by the test."""
    trainer = parts.trainer
    record["selected"] = {"rule": "last epoch", "epoch": trainer.current_epoch - 1}
    path = None
    for best in trainer.checkpoint_callbacks:
        if isinstance(best, ModelCheckpoint) and best.monitor:
            path = best.best_model_path
            epoch = load_checkpoint(Path(path))["epoch"]
            record["selected"] = {"rule": f"best {best.monitor}", "epoch": epoch}
            record["best"] = {best.monitor: float(best.best_model_score)}
    trainer.test(
        parts.task, datamodule=parts.datamodule, ckpt_path=path, weights_only=True, verbose=False
    )
    record["metrics"] |= _metrics(trainer)
    chosen = {**record["choices"], **record["swept"], "seed": record["seed"]}
    chosen = {key: chosen[key] for key in chosen if key not in ("callbacks", "logger")}
    for logger in trainer.loggers:
        if isinstance(logger, TensorBoardLogger):
            logger.log_hyperparams(chosen, record["metrics"])
            logger.save()


def _metrics(trainer: pl.Trainer) -> dict[str, float]:
    return {key: float(value) for key, value in sorted(trainer.callback_metrics.items())}


def _throughput(trainer: pl.Trainer) -> float | None:
    rates = [c.images_per_s for c in trainer.callbacks if isinstance(c, Throughput)]
    return rates[0] if rates else None


def _log_failure(job: Job, error: Exception) -> None:
    """Into the job's own log: one sentence for a user's slip, the traceback for anything else."""
    if not isinstance(error, UserError):
        log.error("%s failed", job.directory, exc_info=error)
    elif job.multirun:  # a single run ends with the sentence
        log.error("%s failed: %s", job.directory, error)


def _summary(record: records.Record) -> str:
    metrics = ", ".join(
        f"{key} {value:.4f}" for key, value in record["metrics"].items() if key.startswith("test/")
    )
    rule = record["selected"]["rule"]
    return f"{metrics} ({rule}), {record['wall_s']:.0f} s"
