"""What lies where somebody means a run's folder: the sentence that refuses it."""

from pathlib import Path

from ghostexp.results.record import FILE_NAME

RUNS = (f"*/{FILE_NAME}", f"*/*/{FILE_NAME}")  # in the folder of a sweep, and of all sweeps


def no_run(path: Path, missing: Path) -> str:
    """`PATH is no run`, because it has no `missing`, and which run may be meant."""
    if not path.exists():
        return f"{path} is no run: there is no such folder"
    if (path / FILE_NAME).exists():
        return f"{path} is no run that can be loaded: {path / missing} is missing"
    around = next((folder for folder in path.parents if (folder / FILE_NAME).exists()), None)
    if around is not None:
        return f"{path} is no run, but lies in one: give the folder {around}"
    if path.is_file():
        return f"{path} is a file and no run: give the folder of a run"
    inside = [record for pattern in RUNS for record in path.glob(pattern)]
    if inside:
        newest = max(inside, key=lambda record: record.stat().st_mtime).parent
        count = f"{len(inside)} run{'s' if len(inside) > 1 else ''}"
        return f"{path} is no run, but holds {count}: give the folder of one, such as {newest}"
    return f"{path} is no run: {path / missing} is missing"
