"""All launches, or some of them: from the folder tests, `python -m launches [WORD ...]`.

Prints a line per launch that breaks a rule, with what it said, and a table at the end. Exit code 1
if any did. `--every 10` takes each tenth launch, `--list` counts them.
"""

import argparse
import sys
import tempfile
from collections import Counter
from pathlib import Path

from launches.bad import BAD
from launches.good import GOOD
from launches.harness import warm_process
from launches.places import Bases, can_mount
from launches.trial import Trial, attempt
from rich.console import Console
from rich.table import Table


def main() -> int:
    """Exit code: 1 if a launch broke a rule."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("words", nargs="*", help="take launches whose title has one of these")
    parser.add_argument("--kind", help="take launches whose kind begins like this")
    parser.add_argument("--every", type=int, default=1, help="take each of so many")
    parser.add_argument("--say", action="store_true", help="print every refusal's first line")
    parser.add_argument("--list", action="store_true", help="only say which")
    options = parser.parse_args()
    launches = [
        launch
        for launch in (*BAD, *GOOD)
        if (options.kind is None or launch.kind.startswith(options.kind))
        and (not options.words or any(word in launch.title for word in options.words))
    ][:: options.every]
    if options.list:
        for kind, count in Counter(launch.kind for launch in launches).items():
            print(f"{count:5} {kind}")
        print(f"{len(launches):5} in all")
        return 0
    if not can_mount():
        print(f"{sum(each.mounts for each in launches)} launches need a mount: left out")
        launches = [launch for launch in launches if not launch.mounts]
    trials = []
    with warm_process() as warm:
        root = Path(tempfile.mkdtemp(prefix="launches-"))
        bases = Bases(warm, root / "bases")
        for number, launch in enumerate(launches, 1):
            trial = attempt(launch, warm, bases, root)
            trials.append(trial)
            if trial.broken:
                print(f"{number}/{len(launches)} {trial}\n", flush=True)
            elif options.say:
                print(f"{number}/{len(launches)} {trial.said}", flush=True)
            elif number % 20 == 0:
                print(f"{number}/{len(launches)}", file=sys.stderr, flush=True)
    show(trials)
    return int(any(trial.broken for trial in trials))


def show(trials: list[Trial]) -> None:
    """A row per kind, and what was broken how often."""
    table = Table("kind", "launches", "broken", "seconds")
    for kind in dict.fromkeys(trial.launch.kind for trial in trials):
        mine = [trial for trial in trials if trial.launch.kind == kind]
        seconds = sum(trial.ended.seconds for trial in mine)
        broken = sum(bool(trial.broken) for trial in mine)
        table.add_row(kind, str(len(mine)), str(broken), f"{seconds:.0f}")
    broken = sum(bool(trial.broken) for trial in trials)
    table.add_row("all", str(len(trials)), str(broken), "")
    Console().print(table)
    rules = Counter(rule.split(":")[0] for trial in trials for rule in trial.broken)
    for rule, count in rules.most_common():
        print(f"{count:5} {rule}")


if __name__ == "__main__":
    sys.exit(main())
