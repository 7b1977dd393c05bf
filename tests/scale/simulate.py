"""What a sweep of a thousand jobs costs: its check, its frozen configs and its report.

    python tests/scale/simulate.py [--sizes 250 500 1000]

One row per step and size: seconds of this process's CPU and of the clock, largest memory. The sweep
is checked and frozen, and no job starts. The finished folders are copies of one real run.
"""

import argparse
import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
RATES = 10  # learning rates; the seeds make up the rest
SWEEP = ("-m", "model=ghost_resnet56", "trainer.accelerator=cpu")


def rates() -> str:
    return ",".join(f"{0.01 * number:.2f}" for number in range(1, RATES + 1))


def measured(step: str, size: int, function: Callable[[], object]) -> None:
    """Do it, and print its row as JSON."""
    cpu, clock = time.process_time(), time.perf_counter()
    function()
    row = {
        "step": step,
        "size": size,
        "cpu_s": round(time.process_time() - cpu, 2),
        "clock_s": round(time.perf_counter() - clock, 2),
        "mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
    }
    print(json.dumps(row), flush=True)


def check(size: int) -> None:
    """Compose, check and freeze the points of a sweep, as `train.py -m` does before its jobs."""
    from ghostexp.commands import train
    from ghostexp.sweeps import preflight, sweeper

    compose, plan = sweeper.compose_points, preflight.preflight
    points = []

    def composed(*arguments: object) -> list:
        measured("compose", size, lambda: points.extend(compose(*arguments)))
        return points

    def planned(jobs: list) -> None:
        measured("check", size, lambda: plan(jobs))

    def frozen(self: sweeper.GridSweeper, results: list) -> None:
        measured("freeze", size, lambda: [point.job.freeze() for point in points])

    sweeper.compose_points, preflight.preflight = composed, planned
    sweeper.GridSweeper._launch = frozen
    seeds = f"seed=range(0,{size // RATES})"
    sys.argv = [str(ROOT / "train.py"), *SWEEP, f"optimizer.lr={rates()}", seeds]
    assert train.main() == 0


def report(size: int) -> None:
    """Report on as many finished runs, which lie in the working folder."""
    from ghostexp.results.report import report_on

    folder = Path(f"outputs/copies{size}")
    measured("report", size, lambda: report_on(folder))


def make_runs(size: int) -> None:
    """Copy the run of outputs/train, with another seed and learning rate each."""
    (run,) = (path.parent for path in Path("outputs/train").glob("*/result.json"))
    record = json.loads((run / "result.json").read_text())
    for number in range(size):
        rate, seed = 0.01 * (1 + number % RATES), number // RATES
        name = f"optimizer.lr={rate:.2f},seed={seed}"
        copy = Path(f"outputs/copies{size}") / name
        shutil.copytree(run, copy)
        record |= {"run": name, "seed": seed, "swept": {"optimizer.lr": rate, "seed": seed}}
        record["config"]["optimizer"]["lr"], record["config"]["seed"] = rate, seed
        record["metrics"]["test/acc"] = 0.9 + 0.0001 * number
        (copy / "result.json").write_text(json.dumps(record))


def main() -> None:
    """Each step and size in a process of its own, so that its memory is its own."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sizes", type=int, nargs="+", default=[250, 500, 1000])
    parser.add_argument("--step", choices=("check", "report"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.step:
        return {"check": check, "report": report}[options.step](options.sizes[0])
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        train = [sys.executable, str(ROOT / "train.py"), "model=linear", "debug=limit"]
        subprocess.run(train, check=True, env=environment, capture_output=True)
        for step in ("check", "report"):
            for size in options.sizes:
                if step == "report":
                    make_runs(size)
                command = [sys.executable, __file__, "--step", step, "--sizes", str(size)]
                subprocess.run(command, check=True, env=environment, stderr=subprocess.DEVNULL)
                shutil.rmtree(f"outputs/copies{size}", ignore_errors=True)


if __name__ == "__main__":
    main()
