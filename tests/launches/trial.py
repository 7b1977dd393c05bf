"""One launch tried: its folder made, the launch run, the rules checked."""

import shutil
import time
from dataclasses import dataclass
from pathlib import Path

from launches.harness import Ended, Warm
from launches.judge import Launch, complaints, files_of, refusal
from launches.places import QUICK, Bases, unmount


@dataclass(frozen=True)
class Trial:
    """How a launch ended, and the rules that it broke."""

    launch: Launch
    ended: Ended
    broken: list[str]

    @property
    def title(self) -> str:
        """Kind and arguments, without those that all trainings have."""
        title = self.launch.title.replace(" ".join(QUICK), "...")
        return f"[{self.launch.kind}] {title}"

    @property
    def said(self) -> str:
        """The title, and what the launch was refused with."""
        return "\n    ".join([self.title, *refusal(self.ended.stderr)[:3]])

    def __str__(self) -> str:
        """What a person needs to repeat and understand it."""
        lines = [self.title]
        lines += [f"  BROKEN: {rule}" for rule in self.broken]
        for name in ("stdout", "stderr"):
            text = getattr(self.ended, name)[-1500:].rstrip()
            lines += [f"  {name}| {line}" for line in text.splitlines()]
        return "\n".join(lines)


def attempt(launch: Launch, warm: Warm, bases: Bases, root: Path) -> Trial:
    """Try a launch in a new folder below `root`, which is removed unless a rule is broken."""
    place = root / f"{time.monotonic_ns():x}"
    folder, streams = place / "folder", place / "streams"
    folder.mkdir(parents=True)
    try:
        for step in launch.place:
            step(folder, bases)
        before = files_of(folder)
        ended = warm.launch(
            launch.script,
            list(launch.arguments),
            folder,
            streams=streams,
            environment=launch.environment,
            stdout=launch.stdout,
            stderr=launch.stderr,
            file_bytes=launch.file_bytes,
        )
        broken = complaints(launch, ended, folder, before, streams / "tmp")
    finally:
        unmount(folder)
    if not broken:
        shutil.rmtree(place)
    return Trial(launch, ended, broken)
