"""Find a learning rate: train a few steps with a rate that rises until the loss diverges.

ghostexp lr_range                                 the default network on digits
ghostexp lr_range model=vgg16 dataset=cifar10 optimizer=adamw
ghostexp lr_range task=layerwise --low 1e-5 --high 1 --steps 200

Overrides are words of train.py. Printed is the rate at which the loss falls fastest, as a word for
train.py; the curve is written as lr_range.png and lr_range.csv (Smith 2017, arXiv:1506.01186). A
schedule that rises to its rate, such as onecycle, can take more. Schedule, callbacks and loggers of
the config are left out, and no run is made.
"""

import argparse
import logging
from pathlib import Path

from ghostexp.config import cli
from ghostexp.config.facts import completed_config
from ghostexp.runs.lr_range import measure_lr_range, write_lr_range


@cli.script
def main(arguments: list[str] | None = None) -> int:
    """Exit code: 1 with one sentence for a user's slip, or a loss that does not fall, else 0."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("overrides", nargs="*", help="as for train.py")
    parser.add_argument("--low", type=float, default=1e-5, help="first rate (default: %(default)s)")
    parser.add_argument("--high", type=float, default=10, help="last rate (default: %(default)s)")
    parser.add_argument("--steps", type=int, default=150, help="(default: %(default)s)")
    parser.add_argument(
        "--out", type=Path, default=Path("outputs/lr_range"), help="folder (default: %(default)s)"
    )
    options = parser.parse_intermixed_args(arguments)
    logging.getLogger("pytorch_lightning").setLevel(logging.WARNING)
    cfg = completed_config(options.overrides, run_dir=str(options.out))
    found = measure_lr_range(cfg, low=options.low, high=options.high, steps=options.steps)
    last = f"the loss diverged at {found.rates[-1]:.2g}" if found.diverged else "no divergence"
    print(f"{len(found.rates)} steps from {options.low:g} on, {last}; on {found.device}")
    for path in write_lr_range(found, options.out):
        print(path)
    if found.suggestion is None:
        print("the loss did not fall at any rate: look at the picture, or give a wider range")
        return 1
    lowest = found.rates[found.smoothed.index(min(found.smoothed))]
    steepest = f"optimizer.lr={found.suggestion:.2g}"
    print(f"the loss is lowest at {lowest:.2g}; it falls fastest at {steepest}")
    return 0
