"""Time what this framework adds, and which Ghost module is faster than its convolution, here.

ghostexp benchmark train [overrides]   our loop with all its logging against a bare loop
ghostexp benchmark data [overrides]    batches from memory: gather, crop, flip, normalise
ghostexp benchmark loader              photos from files and shards, beside torchvision and timm
ghostexp benchmark layers [overrides]  each Ghost module against its convolution
ghostexp benchmark steps [overrides]   what callbacks=fast and native gain in training, on the CPU
ghostexp benchmark kernels [overrides] our kernels of a native step beside the CPU's ceiling
ghostexp benchmark infer [overrides]   networks beside their dense twins, as deployed
ghostexp benchmark infer --run RUN     the same of a run, whose report then shows it
ghostexp benchmark engines             the Ghost forms and smaller dense networks, in each engine

Overrides are words of train.py. `ghostexp benchmark infer --help` explains the options of `infer`,
and so for each of them. The machine should be quiet.
"""

import argparse
import logging

from ghostexp.commands.benchmark.inference import engines, infer
from ghostexp.commands.benchmark.per_layer import kernels, layers
from ghostexp.commands.benchmark.photos import loader
from ghostexp.commands.benchmark.training import data, steps, train
from ghostexp.config import cli

BENCHMARKS = {
    "train": train,
    "data": data,
    "loader": loader,
    "layers": layers,
    "steps": steps,
    "kernels": kernels,
    "infer": infer,
    "engines": engines,
}


@cli.script
def main(arguments: list[str] | None = None) -> int:
    """Exit code: 1 with one sentence for a user's slip, else 0."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("what", choices=list(BENCHMARKS))
    parser.add_argument("words", nargs=argparse.REMAINDER, help="its overrides and options")
    options = parser.parse_args(arguments)
    logging.getLogger("pytorch_lightning").setLevel(logging.WARNING)
    BENCHMARKS[options.what](options.words)
    return 0
