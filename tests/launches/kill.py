"""An ablation of nine jobs killed at random times, and what came of it: is anything lost?

From the folder tests: `python -m launches.kill --kills 100 --seed 0`. One sweep runs undisturbed.
Others are killed (SIGKILL, SIGTERM, Ctrl-C) and the same command is given again until it finishes,
sweep after sweep, until there were so many kills. Each finished sweep is compared with the
undisturbed one. Exit code 1 if anything differs, or a launch ended in a way that it should not.
"""

import argparse
import os
import random
import signal
import sys
import tempfile
import time
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from board import curves
from launches.harness import Ended, Warm, warm_process
from launches.same import curves_differ, differences

COMMAND = (
    *("-m", "model=ghost_resnet56", "model.ratio=2,3,4,5,6,7,8,9,10", "dataset.image_size=8"),
    *("dataset.val_split=0.1", "trainer.max_epochs=3", "trainer.limit_train_batches=4"),
    *("trainer.limit_val_batches=3", "trainer.limit_test_batches=3", "trainer.accelerator=cpu"),
    *("trainer.log_every_n_steps=1", "callbacks.partial.every_n_steps=2", "name=ablation"),
)
# SIGTERM ends a process by default where no run is at work: a shell calls that 143 as well
SIGNALS = {signal.SIGKILL: {-9}, signal.SIGTERM: {143, -15}, signal.SIGINT: {130}}
PATIENCE_SECONDS = 30  # from a signal to the end of the launch
PHASES = (  # function of a stack -> what the launch was doing, the first that is found
    ("save_checkpoint", "a checkpoint's saving"),
    ("_test_impl", "a test"),
    ("_run_sanity_check", "a validation"),
    ("on_advance_end", "a validation"),
    ("_fit_impl", "an epoch"),
    ("_fit", "an epoch"),
    ("preflight", "the check of all jobs"),
    ("show_outcome", "the report"),
    ("_do", "the start of a job"),
)


@dataclass
class Count:
    """What was done so far, and what went wrong."""

    kills: Counter[str] = field(default_factory=Counter)
    phases: Counter[str] = field(default_factory=Counter)
    faults: list[str] = field(default_factory=list)
    sweeps: int = 0


def main() -> int:
    """Exit code: 1 if a killed sweep differs from the undisturbed one."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--curves", action="store_true", help="ask TensorBoard's server as well")
    options = parser.parse_args()
    print(f"random times from seed {options.seed}", flush=True)
    draw = random.Random(options.seed)
    root = Path(tempfile.mkdtemp(prefix="kills-"))
    count = Count()
    with warm_process() as warm:
        model = root / "undisturbed"
        ended = _launch(warm, model, None, 0.0, count)
        assert ended.code == 0, ended.stderr
        print(f"undisturbed: {ended.seconds:.0f} s", flush=True)
        expected = curves(model) if options.curves else {}
        while count.kills.total() < options.kills:
            killed = root / f"sweep-{count.sweeps}"
            _until_finished(warm, killed, options.kills, ended.seconds, draw, count)
            found = list(differences(*(f / "outputs" / "ablation" for f in (model, killed))))
            if options.curves:
                found += curves_differ(expected, curves(killed))
            count.sweeps += 1
            count.faults += [f"{killed.name}: {each}" for each in found]
            print(f"{killed.name}: {count.kills.total()} kills so far, {len(found)} differences")
            print("\n".join(found[:40]), flush=True)
    print(f"{count.sweeps} sweeps, {count.kills.total()} kills: {dict(count.kills)}")
    print(f"within {dict(count.phases)}")
    print(f"{len(count.faults)} faults", *count.faults[:100], sep="\n")
    return int(bool(count.faults))


def _until_finished(
    warm: Warm, folder: Path, kills: int, seconds: float, draw: random.Random, count: Count
) -> None:
    """Kill the sweep in `folder` again and again, until a launch of it ends by itself."""
    while True:
        number = draw.choice(list(SIGNALS)) if count.kills.total() < kills else None
        ended = _launch(warm, folder, number, draw.uniform(0.02, 0.5) * seconds, count)
        if ended.code == 0:
            return
        if number is None:
            count.faults.append(f"{folder.name}: the last launch failed: {ended.stderr[-1000:]}")
            return


def _launch(
    warm: Warm, folder: Path, number: signal.Signals | None, after: float, count: Count
) -> Ended:
    """The command once, killed by a signal after some seconds, if it lives that long."""
    folder.mkdir(parents=True, exist_ok=True)
    streams = folder.with_name(f"{folder.name}-streams")
    killed = number is not None
    pid = warm.begin("train.py", [*COMMAND], folder, streams=streams, limit=1800, stack=killed)
    if not killed:
        return warm.end()
    process = os.pidfd_open(pid)  # no other process, should the number be given again
    time.sleep(after)
    phase = _phase((streams / "stack").read_text())
    sent = time.monotonic()
    with suppress(ProcessLookupError):  # it has finished
        signal.pidfd_send_signal(process, number)
    os.close(process)
    ended = warm.end()
    if ended.code == 0:
        return ended
    count.kills[number.name] += 1
    count.phases[phase] += 1
    took = time.monotonic() - sent
    told = f"{folder.name}, {number.name} within {phase} after {after:.1f} s"
    print(f"  {told}: exit code {ended.code} in {took:.1f} s", flush=True)
    if ended.code not in SIGNALS[number]:
        count.faults.append(f"{told}: exit code {ended.code}: {ended.stderr[-1500:]}")
    if ended.left or took > PATIENCE_SECONDS:
        count.faults.append(f"{told}: {took:.0f} s until the end, left {ended.left}")
    if "Traceback" in ended.stdout + ended.stderr:
        said = ended.stdout + ended.stderr
        count.faults.append(f"{told}: stack trace: {said[said.index('Traceback') - 200 :][:1500]}")
    return ended


def _phase(stack: str) -> str:
    """What a launch was doing, by the functions that it was in."""
    functions = set(stack.split())
    innermost = " ".join(stack.split()[:4])
    return next((phase for name, phase in PHASES if name in functions), f"the rest: {innermost}")


if __name__ == "__main__":
    sys.exit(main())
