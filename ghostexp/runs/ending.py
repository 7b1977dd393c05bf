"""How a job tells a person of its start and its end: one line each, and what to do next."""

import logging
import shlex
from pathlib import Path

from ghostexp.config.explain import UserError
from ghostexp.config.precision import AUTO
from ghostexp.config.trace import REFUSED_LOG, keep_trace
from ghostexp.results import record as records
from ghostexp.results.wording import clock
from ghostexp.runs.load import find_checkpoint
from ghostexp.runs.run import LOG
from ghostexp.sweeps.decision import has_checkpoint
from ghostexp.sweeps.job import Job
from ghostexp.sweeps.outcome import is_in_tensorboard

log = logging.getLogger(__name__)


def say_start(job: Job) -> None:
    """`job 3 of 9: model.ratio=4` in a sweep."""
    if job.multirun:
        log.info("%s: starts", job.title)


def say_goes_on(job: Job, earlier: records.Record, record: records.Record) -> None:
    """From which checkpoint, and that `auto` means another precision on this machine."""
    log.info("going on from %s", _shown(job.directory / record["checkpoint"]))
    before, now = earlier.get("precision"), record["precision"]
    if before not in (None, now) and job.config.trainer.get("precision", AUTO) == AUTO:
        log.warning(
            "this run was trained in %s and goes on in %s, which trainer.precision=auto is on this"
            " machine: trainer.precision=%s keeps the old one",
            *(before, now, before),
        )


def say_skipped(job: Job, record: records.Record) -> None:
    """One line on a job that an earlier launch finished, also if it was other code that did."""
    then, now = record.get("git") or {}, records.our_code()
    revisions = [str(state.get("revision") or state.get("code"))[:12] for state in (then, now)]
    other = "" if revisions[0] == revisions[1] else ", by revision {} (now {})".format(*revisions)
    log.info("%s finished already%s: skipped", job.title, other)


def say_finished(job: Job, record: records.Record) -> None:
    """What came out, how long it took, and for a single run the next commands."""
    if job.multirun:
        log.info("%s: %s", job.title, summary(record))
        return
    log.info(summary(record))
    folder = shlex.quote(_shown(job.directory))
    parent = shlex.quote(_shown(job.directory.parent))
    log.info("folder: %s", folder)
    log.info("next: ghostexp report %s", parent)
    if find_checkpoint(job.directory) is not None:
        log.info("      ghostexp predict %s FILE", folder)
    if is_in_tensorboard(job.directory):
        log.info("      tensorboard --logdir %s", parent)


def say_failed(job: Job, error: Exception) -> None:
    """In a sweep: one line now, because the other jobs follow."""
    if job.multirun:
        log.error("%s failed: %s", job.title, sentence(error))


def say_interrupted(job: Job) -> None:
    """What was interrupted, and the command that goes on, or starts over without a checkpoint."""
    folder = _shown(job.directory)
    goes_on = has_checkpoint(job.directory)
    does = "goes on with it" if goes_on else "starts it over, because it left no checkpoint"
    if job.multirun:
        log.warning("%s: interrupted; the same command %s", job.title, does)
    elif (job.directory / records.FILE_NAME).exists():
        command = f"{records.program()} resume={shlex.quote(folder)}"
        log.warning("interrupted: %s %s", command, does)


def one_sentence(directory: Path, error: Exception) -> UserError:
    """The error as a sentence that names the file with the full trace, where there is one."""
    if isinstance(error, UserError) and error.__cause__ is None:
        return error
    began = (directory / records.FILE_NAME).exists()
    path = directory / LOG if began else REFUSED_LOG
    kept = keep_trace(error, path, str(directory))
    return UserError(f"{sentence(error)}{f' (full trace: {_shown(path)})' if kept else ''}")


def sentence(error: Exception) -> str:
    """An error in one line; the error's type stands before a sentence that is not ours."""
    text = " ".join(str(error).split())
    return text if isinstance(error, UserError) else f"{type(error).__name__}: {text}"


def summary(record: records.Record) -> str:
    """`test accuracy 98.33 % (last epoch), 0:01:19`."""
    metrics = record["metrics"]
    names = {"test/acc": "test accuracy", "test/map": "test mAP"}
    shares = [f"{names[key]} {100 * metrics[key]:.2f} %" for key in names if key in metrics]
    rule = record["selected"]["rule"]
    return f"{', '.join(shares)} ({rule}), {clock(record['wall_s'])}"


def _shown(path: Path) -> str:
    """A path as the person may type it: relative to the working folder where it lies below."""
    try:
        return str(path.absolute().relative_to(Path.cwd()))
    except ValueError:
        return str(path)
