"""What a launch may never do, whatever it is given."""

import hashlib
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from launches.harness import Ended

GONE = 141  # a script's exit code where its reader has gone, as `head` does
CANARY = "canary"  # what hostile launches try to make in the working folder
NOTES = "notes.txt"  # a person's own, which even a launch that does its work leaves alone
LONGEST = 700  # characters of a refusal's line
# in the temporary folder: our traces, and what torch compiles
TRACE = re.compile(r"ghostexp-refused-\d+\.log|torchinductor_.*")
OURS = ("train.log", ".ghostexp")  # what a refusal may add to: a log, decoded data beside the data


@dataclass(frozen=True)
class Launch:
    """One launch: what is typed, where, and what must come of it.

    `place` are the steps that make its folder. A refusal must hold `mentions`, or match `instead`.
    `keeps` is false for a launch that does its work, and so may change what lies in the folder.
    """

    kind: str
    arguments: tuple[str, ...]
    mentions: str = ""
    instead: str | None = None
    script: str = "train.py"
    place: tuple[Callable, ...] = ()
    codes: tuple[int, ...] = (1, 2)
    keeps: bool = True
    environment: dict[str, str] = field(default_factory=dict)
    stdout: str = "file"
    stderr: str = "file"
    file_bytes: int | None = None

    @property
    def mounts(self) -> bool:
        """Whether its folder needs a file system of its own."""
        return any("full_disk" in step.__qualname__ for step in self.place)

    @property
    def title(self) -> str:
        """What a person would have typed."""
        return " ".join([self.script, *self.arguments])


Files = dict[str, str]


def files_of(folder: Path) -> Files:
    """Content (its digest) of every file below a folder, and each folder, by relative path."""
    found = {}
    for path in sorted(folder.rglob("*")):
        name = str(path.relative_to(folder))
        if path.is_symlink() or not (path.is_file() or path.is_dir()):
            found[name] = "special"
        else:
            found[name] = _digest(path) if path.is_file() else "folder"
    return found


def complaints(
    launch: Launch, ended: Ended, folder: Path, before: Files, temporary: Path
) -> list[str]:
    """Every rule that the launch broke, in words."""
    after = files_of(folder)
    broken = [*_of_the_end(launch, ended), *_of_the_words(launch, ended)]
    if any(Path(name).name == CANARY for name in after):
        broken.append("foreign code was executed")
    notes = [name for name in before if Path(name).name == NOTES]
    if not launch.keeps:
        broken += [f"lost or changed: {name}" for name in notes if before[name] != after.get(name)]
    else:
        broken += [f"lost or changed: {name}" for name in _lost(folder, before, after)]
        broken += [f"left over: {name}" for name in _added(before, after)]
    broken += [
        f"left in the temporary folder: {path.name}"
        for path in temporary.iterdir()
        if not TRACE.match(path.name)
    ]
    return broken


def refusal(text: str) -> list[str]:
    """The lines of a refusal: from its `error:`, argparse's included, to the end."""
    lines = text.splitlines()
    starts = [i for i, line in enumerate(lines) if re.match(r"(\w+\.py: )?error: ", line)]
    return lines[starts[0] :] if starts else []


def _of_the_end(launch: Launch, ended: Ended) -> list[str]:
    broken = []
    if ended.hung:
        broken.append("it hung")
    elif ended.code not in launch.codes:
        broken.append(f"exit code {ended.code}, not {' or '.join(map(str, launch.codes))}")
    broken += [f"a process is left: {name[:100]}" for name in ended.left]
    return broken


def _of_the_words(launch: Launch, ended: Ended) -> list[str]:
    broken = []
    if "Traceback" in ended.stdout + ended.stderr:
        broken.append("stack trace")
    if "Warning: " in ended.stderr:
        broken.append("a warning of Python's")
    if ended.code in (0, GONE) or launch.stderr != "file":
        return broken
    lines = refusal(ended.stderr)
    if not lines:
        return [*broken, "no line says error:"]
    if not _names(" ".join(lines).lower(), launch):
        broken.append(f"the refusal does not name {launch.mentions}")
    if longest := [line for line in lines if len(line) > LONGEST]:
        broken.append(f"a line of {len(longest[0])} characters")
    if len(lines) > 1 and "jobs cannot run" not in lines[0] and "did you mean" not in lines[-1]:
        broken.append(f"{len(lines)} lines instead of a sentence")
    return broken


def _names(text: str, launch: Launch) -> bool:
    instead = launch.instead is not None and re.search(launch.instead, text)
    return bool(instead) or launch.mentions.lower() in text


def _lost(folder: Path, before: Files, after: Files) -> list[str]:
    """Files that are gone or changed, but for our logs, which may grow."""
    return [
        name
        for name, content in before.items()
        if after.get(name) != content and not (name in after and Path(name).name in OURS)
    ]


def _added(before: Files, after: Files) -> list[str]:
    """What is new, a folder for all in it; only our logs and the folder of runs may be."""
    new = {
        name
        for name, content in after.items()
        if name not in before
        and not set(Path(name).parts) & set(OURS)
        and not (content == "folder" and re.fullmatch(r"outputs(/[^/]+)?", name))
    }
    return sorted(name for name in new if str(Path(name).parent) not in new)


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
