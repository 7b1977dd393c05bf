"""Jobs that a sweep would do although a folder beside theirs holds the same finished run.

Another sweep names its folders by other keys: `seed=0` trains again what a sweep without a given
seed has trained as `model.ratio=2`.
"""

from pathlib import Path

from ghostexp.results.identity import digest, result_part
from ghostexp.results.record import FILE_NAME, read_record
from ghostexp.sweeps.decision import resolved
from ghostexp.sweeps.job import Job


class FinishedRuns:
    """The finished runs beside the folders of jobs; a folder of runs is read once."""

    def __init__(self) -> None:
        self._known: dict[Path, dict[str, Path]] = {}  # folder -> digest -> run

    def twin(self, job: Job) -> Path | None:
        """A finished run beside the folder of an unfinished job, with the same values."""
        folder = job.directory.parent
        if folder not in self._known:
            self._known[folder] = _finished(folder)
        return self._known[folder].get(digest(result_part(resolved(job.config))))


def _finished(folder: Path) -> dict[str, Path]:
    runs = {}
    for path in sorted(folder.glob(f"*/{FILE_NAME}")):
        try:
            record = read_record(path.parent)
        except ValueError:  # it concerns no job of this sweep, and reports name it
            continue
        if record is not None and record["status"] == "finished":
            runs[str(record.get("digest"))] = path.parent
    return runs
