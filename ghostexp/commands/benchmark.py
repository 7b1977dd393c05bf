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

Overrides are those of train.py; without any, `train` takes a linear model and batches of four
digits, so that a step is short and what the loop adds is seen. `layers` takes CIFAR-10's shapes,
batches of 128 and of 1, and needs no images; --step times forward and backward instead of
inference. It ends with a list of layers, so that a network has Ghost modules where they are faster:
train.py model=converted model.net._target_=ghostexp.models.resnet56 'model.only=[...]'
`infer` times, in turn and on the CPU, eager, fused, bf16, torch.compile, the native backend, ONNX
Runtime, OpenVINO and int8. --models ghost_vgg16:vgg16,ghost_resnet56,peers is Ghost-VGG-16 beside
VGG-16, Ghost-ResNet-56 beside itself at ratio 1 (overrides: model.ratio=3), and, beside each other
at 224x224 pixels, our GhostNet and timm's two peers. `steps` takes --models, --batch, --threads and
--out; it times float32, and bfloat16 where the CPU computes in it, unless trainer.precision
is given. It measures anew which layers callbacks=fast lets our kernels compute: the machine should
be quiet.
`engines` takes --groups, --forms and --out; batch and threads belong to the group. `loader` takes
--batch, --threads (its workers), --out, and --photos FOLDER or else makes 5,000 photos first.
"""

import argparse
import logging
import os
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path

from omegaconf import DictConfig, OmegaConf

from ghostexp.analysis.kernel_speed import Program, kernels_table, time_kernels
from ghostexp.analysis.layer_latency import faster_layers, fill_table, time_layers
from ghostexp.config import cli
from ghostexp.config.audit import audit
from ghostexp.config.build import build_parts
from ghostexp.config.choices import CONFIG_FOLDER
from ghostexp.config.cli import compose_config
from ghostexp.config.explain import UserError
from ghostexp.config.mistakes import users_mistakes
from ghostexp.config.options import check_out, number, numbers, words
from ghostexp.config.printer import Printer
from ghostexp.deploy.forms import FORMS, Subject
from ghostexp.deploy.latency import time_inference
from ghostexp.results import engine_table, loader_table
from ghostexp.results.latency_file import check_measured, document, write_latency
from ghostexp.results.latency_report import to_markdown, write_measurements
from ghostexp.results.record import command_line
from ghostexp.results.step_table import write_steps
from ghostexp.runs.engine_table import FORMS as ENGINE_FORMS
from ghostexp.runs.engine_table import groups, time_engines
from ghostexp.runs.inference import (
    circumstances,
    default_models,
    subjects_of_models,
    subjects_of_run,
)
from ghostexp.runs.loader_times import described, time_loaders
from ghostexp.runs.loop_times import result_table, time_batches, time_loops
from ghostexp.runs.machine import allowed_cores
from ghostexp.runs.step_times import time_training

DEFAULTS = {
    "train": ["model=linear", "dataset=digits", "dataset.batch_size=4", "trainer.max_epochs=2"],
    "data": ["dataset=digits", "dataset.batch_size=128", "dataset.augment.flip=true"],
    "layers": ["model=ghost_resnet56", "dataset=cifar10"],
    "steps": ["dataset=cifar10"],
    "kernels": ["model=ghost_resnet56", "dataset=cifar10"],
    "infer": ["dataset=cifar10"],
}
WIDTH_OF_A_PIPE = 220
BATCH_SIZES = (128, 1)  # training and one image


@cli.script
def main(arguments: list[str] | None = None) -> int:
    """Exit code: 1 with one sentence for a user's slip, else 0."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("what", choices=list(DEFAULTS | WITH_OUT))
    parser.add_argument("overrides", nargs="*", help="as for train.py")
    parser.add_argument("--rounds", type=number, default=7, help="counted, after one warm-up")
    parser.add_argument("--step", action="store_true", help="layers: forward and backward")
    infer = parser.add_argument_group("infer and steps")
    infer.add_argument("--run", type=Path, help="folder of a run in the place of models")
    models = {"default": default_models(), "help": "as above (default: %(default)s)"}
    infer.add_argument("--models", type=words, **models)
    infer.add_argument("--forms", type=words, help="infer and engines: " + ",".join(FORMS))
    infer.add_argument("--batch", type=numbers, help="default: 1,128; of steps 128")
    infer.add_argument("--threads", type=numbers, help="default: 1 and one for each core")
    infer.add_argument("--groups", type=words, help="engines: cifar,mobile,regnet (default: all)")
    infer.add_argument("--out", type=Path, help="folder for table and rounds")
    infer.add_argument("--photos", type=Path, help="loader: holds train and val")
    cli.add_grant(parser)
    options = parser.parse_intermixed_args(arguments)
    logging.getLogger("pytorch_lightning").setLevel(logging.WARNING)
    if options.what in WITH_OUT:
        check_out(options.out)
        WITH_OUT[options.what](options)
        return 0
    cfg = compose_config([*DEFAULTS[options.what], *options.overrides])
    audit(cfg, [CONFIG_FOLDER])
    with tempfile.TemporaryDirectory() as folder:
        OmegaConf.update(cfg, "run_dir", folder)
        if options.what in ("train", "data"):
            time = time_loops if options.what == "train" else time_batches
            Printer().print(time(cfg, options.rounds))
        elif options.what == "kernels":
            time_all_kernels(cfg, options.rounds)
        else:
            time_ghosts(cfg, options.rounds, options.step)
    return 0


def time_ghosts(cfg: DictConfig, rounds: int, step: bool) -> None:
    """Every Ghost module against its convolution, at its real shape, for each batch size."""
    parts = build_parts(cfg)
    net = parts.task.net.to(parts.trainer.strategy.root_device)
    bf16 = "bf16" in str(parts.trainer.precision)
    what = "training step" if step else "inference"
    console = Printer(width=None if sys.stdout.isatty() else WIDTH_OF_A_PIPE)
    for batch_size in BATCH_SIZES:
        with users_mistakes("layers"):
            timings = time_layers(
                net,
                parts.datamodule.input_shape,
                batch_size=batch_size,
                rounds=rounds,
                step=step,
                bf16=bf16,
            )
        title = f"{what}, batch {batch_size}, {'bf16' if bf16 else '32 bit'}"
        table = result_table(title, parts)
        fill_table(table, timings)
        console.print(table)
        names = faster_layers(timings)
        total = sum(len(timing.names) for timing in timings)
        console.print(
            f"{title}: the Ghost module is faster in every round in {len(names)} of {total} layers"
        )
        if names:
            print(f"model.only=[{','.join(names)}]")


def time_all_kernels(cfg: DictConfig, rounds: int) -> None:
    """The kernels of a native step for one batch, in float32 and where there is bfloat16 in it."""
    parts = build_parts(cfg)
    console = Printer(width=None if sys.stdout.isatty() else WIDTH_OF_A_PIPE)
    for bf16 in Program.precisions():
        with users_mistakes("kernels"):
            ceiling, speeds = time_kernels(
                parts.task.net,
                parts.datamodule.input_shape,
                batch_size=BATCH_SIZES[0],
                rounds=rounds,
                bf16=bf16,
            )
        title = f"batch {BATCH_SIZES[0]}, {'bfloat16' if bf16 else 'float32'}"
        console.print(kernels_table(title, ceiling, speeds))


def time_networks(options: argparse.Namespace) -> None:
    """Networks, or a run's, and their dense twins in every form of deployment."""
    batches = options.batch or sorted(BATCH_SIZES)
    threads = options.threads or sorted({1, os.cpu_count() or 1})
    if options.run is not None:
        with users_mistakes("--run"):
            check_measured(batches, threads)
    subjects = _subjects(options)
    setting = {"batch_sizes": batches, "threads": threads, "rounds": options.rounds}
    with users_mistakes("infer"):
        measurements = time_inference(subjects, options.forms or list(FORMS), **setting)
    rows = [asdict(measurement) for measurement in measurements]
    everything = document(rows, circumstances(options.rounds), command_line())
    print(to_markdown(everything))
    written = write_measurements(everything, options.out) if options.out is not None else []
    if options.run is not None:
        with users_mistakes("--run"):
            written.append(write_latency(options.run, subjects[0].name, everything))
    for path in written:
        print(f"wrote {path}")


def time_the_engines(options: argparse.Namespace) -> None:
    """The Ghost forms beside smaller dense networks, one column per engine."""
    known = groups()
    wanted = options.groups or list(known)
    if unknown := [name for name in wanted if name not in known]:
        raise UserError(f"--groups are {', '.join(known)}, not {', '.join(unknown)}")
    with users_mistakes("engines"):
        rows = time_engines(
            [known[name] for name in wanted], options.forms or ENGINE_FORMS, options.rounds
        )
    everything = document(rows, circumstances(options.rounds), command_line())
    print(engine_table.to_markdown(everything))
    if options.out is not None:
        for path in engine_table.write_engines(everything, options.out):
            print(f"wrote {path}")


def time_steps(options: argparse.Namespace) -> None:
    """Training steps of networks with torch's operators and with ours."""
    console = Printer(width=None if sys.stdout.isatty() else WIDTH_OF_A_PIPE)
    gains, rows = [], []
    with users_mistakes("steps"):
        for table, gain, measured in time_training(
            _subjects(options),
            overrides=options.overrides,
            threads=options.threads or [allowed_cores()],
            batch_sizes=options.batch or BATCH_SIZES[:1],
            rounds=options.rounds,
        ):
            table.caption = circumstances(options.rounds)
            console.print(table)
            gains.append(gain)
            rows += measured
    print(*gains, sep="\n")
    if options.out is not None:
        everything = document(rows, circumstances(options.rounds), command_line())
        for path in write_steps(everything, options.out):
            print(f"wrote {path}")


def time_photos(options: argparse.Namespace) -> None:
    """Loaders of photos: torchvision's, timm's, ours of the files and ours of shards."""
    setting = {"workers": options.threads or [1, 2], "batch_size": (options.batch or [64])[0]}
    with users_mistakes("loader"):
        rows = time_loaders(options.photos, **setting, rounds=options.rounds)
    everything = document(rows, described(options.rounds), command_line())
    print(loader_table.to_markdown(everything))
    if options.out is not None:
        for path in loader_table.write_loaders(everything, options.out):
            print(f"wrote {path}")


def _subjects(options: argparse.Namespace) -> list[Subject]:
    if options.run is not None:
        return subjects_of_run(options.run)
    return subjects_of_models(options.models, [*DEFAULTS[options.what], *options.overrides])


WITH_OUT = {"infer": time_networks, "engines": time_the_engines, "steps": time_steps}
WITH_OUT |= {"loader": time_photos}
