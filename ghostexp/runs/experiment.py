"""One job, from its composed config to its record.

    run(cfg)     what Hydra calls: find the job, do it
    run_frozen   the command train.py --job: the same for a job that a sweep froze
    run_job      decide (start, go on, skip); with the run: build, fit, test

`ghostexp/runs/run.py` owns the folder and the record, `load.py` takes a finished run up again.
"""

import os
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig, open_dict, read_write

from ghostexp.analysis.complexity import count_macs, count_params
from ghostexp.config.arguments import DRY_RUN
from ghostexp.config.audit import audit
from ghostexp.config.build import Parts, build_parts
from ghostexp.config.directories import register_resolvers
from ghostexp.config.explain import UserError
from ghostexp.config.facts import complete_facts
from ghostexp.config.first_step import check_examples, check_first_step
from ghostexp.config.logs import log_as_hydra
from ghostexp.config.mistakes import users_mistakes
from ghostexp.config.monitors import check_class_monitors
from ghostexp.files.folders import remove_if_empty
from ghostexp.results import record as records
from ghostexp.results.identity import digest, result_part
from ghostexp.runs import ending, ranks
from ghostexp.runs.fit import fit_and_test
from ghostexp.runs.furthest import furthest_checkpoint
from ghostexp.runs.load import load_checkpoint
from ghostexp.runs.machine import describe_device, use_allowed_cores
from ghostexp.runs.run import Run
from ghostexp.sweeps import dry_run
from ghostexp.sweeps.decision import Decision, decide, is_done, resolved
from ghostexp.sweeps.job import Job, job_of_hydra, thaw
from ghostexp.sweeps.outcome import objective
from ghostexp.training.callbacks import KeepRecord
from ghostexp.training.stopping import Stopped, Stopping


def run(cfg: DictConfig) -> float | None:
    """Do the job that Hydra composed; return its objective, for a sweeper that searches."""
    register_resolvers()  # the worker processes of a parallel sweep begin here
    hydra = HydraConfig.get()
    directory = Path(hydra.runtime.output_dir)
    if dry_run.is_asked():  # no sweeper has taken it up
        remove_if_empty(directory)
        raise SystemExit(f"error: {DRY_RUN} shows what a sweep would start: add -m")
    with read_write(hydra):
        hydra.run.dir = str(directory)  # Lightning gives it to the ranks that it starts
    if ranks.is_further():
        with Stopping(lambda signum: None, silent=True):
            return ranks.join(directory, fit_and_test)
    try:
        return run_job(job_of_hydra(cfg, hydra))
    except UserError as error:
        if cfg.resume is None:
            remove_if_empty(directory)  # which Hydra made
        if hydra.mode == RunMode.MULTIRUN:
            raise  # the sweeper goes on with the other jobs
        raise SystemExit(f"error: {error}") from None  # Hydra would print the overrides as well


def run_frozen(path: Path) -> None:
    """Do a job that a sweep froze in a file, without Hydra; exit code 1 if it fails."""
    job = thaw(path)
    if int(os.environ.get("SLURM_RESTART_COUNT", 0)):
        job.config.rerun = False  # it was said to the first start of the requeued job
    log_as_hydra(job.directory)
    if ranks.is_further():
        with Stopping(lambda signum: None, silent=True):
            if ranks.wait_for_first(job.directory, lambda: is_done(job)):
                ranks.join(job.directory, fit_and_test)
            return
    try:
        run_job(job)
    except UserError:  # which the log has told
        remove_if_empty(job.directory)
        raise SystemExit(1) from None


def run_job(job: Job) -> float | None:
    """Do a job, whoever found it; `UserError` with one sentence if it fails."""
    cfg = job.config
    with open_dict(cfg):
        cfg.run_dir = str(job.directory)
    run = Run(job.directory)
    try:
        with Stopping(lambda signum: run.end_at_once()), run.owned():
            audit(cfg, job.config_folders, job.augmentation)
            complete_facts(cfg)
            decision = decide(job)
            if decision.finished is not None:
                ending.say_skipped(job, decision.finished)
                return objective(decision.finished)
            ending.say_start(job)
            record = _do(run, job, decision)
    except Exception as error:
        ending.say_failed(job, error)
        raise ending.one_sentence(run.directory, error) from error
    except Stopped:
        ending.say_interrupted(job)
        raise
    except (KeyboardInterrupt, SystemExit):  # Lightning turns KeyboardInterrupt into SystemExit
        ending.say_interrupted(job)
        raise KeyboardInterrupt from None
    ending.say_finished(job, record)
    return objective(record)


def _do(run: Run, job: Job, decision: Decision) -> records.Record:
    """Build, fit and test; nothing of an earlier launch is touched before all is built."""
    cfg = job.config
    folder = run.directory / "checkpoints"
    checkpoint = furthest_checkpoint(folder) if decision.goes_on else None
    state = load_checkpoint(checkpoint) if checkpoint else {}
    record = _new_record(job, decision, checkpoint, _finished_epochs(state))
    try:
        parts = _prepare(cfg, record, KeepRecord(run.update))
        if checkpoint is not None:
            _check_checkpoint(checkpoint, parts, state, record, decision)
    except Exception as error:
        if job.multirun and decision.earlier is None:
            run.refuse(record, error)
        raise
    del state  # a copy of all weights and of the optimizer's memory, not needed while it trains
    if checkpoint is not None:
        ending.say_goes_on(job, decision.earlier or {}, record)
    elif decision.earlier is not None:
        run.clear()
    run.save_config(cfg, None if job.resumes else job.overrides)
    with run.recorded(record), ranks.ending_together(parts.trainer, run.directory):
        fit_and_test(parts, record, checkpoint)
    return record


def _finished_epochs(state: dict[str, Any]) -> int:
    """Epochs that a checkpoint's run has finished, whatever its record says; 0 without one."""
    facts = state.get("callbacks", {}).get(KeepRecord.__qualname__, {})
    return facts.get("epochs") or 0


def _check_checkpoint(
    checkpoint: Path,
    parts: Parts,
    state: dict[str, Any],
    record: records.Record,
    decision: Decision,
) -> None:
    """Refuse to go on with a checkpoint that is too far, or another network's."""
    done, wanted_epochs = record["epochs"], record["max_epochs"]
    if wanted_epochs < done:
        raise UserError(
            f"trainer.max_epochs={wanted_epochs}, but the run has done {done} epochs already: give"
            " as many or more"
        )
    wanted = {key: value.shape for key, value in parts.task.state_dict().items()}
    saved = {key: value.shape for key, value in state["state_dict"].items()}
    if wanted != saved:
        raise UserError(
            f"{checkpoint} holds the weights of another network"
            f" ({'; '.join(decision.changed) or 'its code has changed'}): leave these values as"
            " they were, or train the other network in a new run"
        )
    data = [change for change in decision.changed if change.startswith("dataset.")]
    if data and checkpoint.name == "partial.ckpt":
        raise UserError(
            f"{checkpoint} was saved within an epoch, and the rest of the epoch would"
            f" have other batches ({'; '.join(data)}): let the run end its epoch first, or remove"
            " the file to go on from the last epoch's end"
        )
    with users_mistakes("resume"):
        parts.task.check_resume(state)


def _new_record(
    job: Job, decision: Decision, checkpoint: Path | None, epochs: int
) -> records.Record:
    """Record of this launch, with what goes on from the launches before it."""
    config = resolved(job.config)
    earlier = (checkpoint and decision.earlier) or {}
    keys = ("started", "command", "swept", "choices", "metrics", "throughput", "training", "best")
    kept = {key: earlier[key] for key in keys if key in earlier}
    before = records.past_segments(earlier)
    segment = {
        "started": records.now(),
        "command": job.command,
        "epochs": [epochs + 1, None],
        "changed": decision.changed if earlier else [],
        "wall_s": 0.0,
    }
    facts = {
        "name": job.config.name,
        "run": job.name,
        "digest": digest(result_part(config)),
        "command": job.command,
        "swept": job.swept,
        "choices": job.choices,
        "seed": job.config.seed,
        "max_epochs": job.config.trainer.max_epochs,
        "epochs": epochs,
        "throughput": None,
        "checkpoint": checkpoint and str(checkpoint.relative_to(job.directory)),
        "config": config,
    }
    return records.new_record(**(facts | kept | {"segments": [*before, segment]}))


def _prepare(cfg: DictConfig, record: records.Record, keep: KeepRecord) -> Parts:
    """Build everything and load the data; what is known goes into `record` at once."""
    use_allowed_cores()
    parts = build_parts(cfg, extra=[keep])
    datamodule = parts.datamodule
    with users_mistakes("dataset"):
        datamodule.prepare_data()
        datamodule.setup("fit")
    check_class_monitors(cfg, parts.task, datamodule.class_names)
    check_examples(parts, datamodule.num_test)
    left_over = datamodule.num_train % cfg.dataset.batch_size
    check_first_step(parts, left_over or cfg.dataset.batch_size)
    shape = datamodule.input_shape
    with users_mistakes("model"):
        record["network"] = {
            "params": count_params(parts.task.net),
            "macs": count_macs(parts.task.net, shape),
            "input_shape": list(shape),
        }
    record["dataset"] = _facts_of(cfg.dataset, datamodule)
    record["device"] = describe_device(parts.trainer)
    record["precision"] = str(parts.trainer.precision)
    return parts


def _facts_of(dataset: DictConfig, datamodule: pl.LightningDataModule) -> dict[str, Any]:
    """What a record keeps of a data set."""
    return {
        "class_names": datamodule.class_names,
        "category_ids": getattr(datamodule, "category_ids", None),  # of detection
        "num_train": datamodule.num_train,
        "root": dataset.get("root", dataset.get("path")),
        "fingerprint": datamodule.fingerprint,
        **getattr(datamodule, "fold_facts", {}),  # of a cross-validation
    }
