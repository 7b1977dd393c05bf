"""Benchmarks of networks as they are deployed."""

import argparse
from dataclasses import asdict
from pathlib import Path

from ghostexp.commands.benchmark.options import (
    BATCH_SIZES,
    CIFAR,
    add_models,
    add_out,
    add_overrides,
    new_parser,
    write_out,
)
from ghostexp.config.explain import UserError
from ghostexp.config.mistakes import users_mistakes
from ghostexp.config.options import check_out, words
from ghostexp.deploy.forms import FORMS, Subject
from ghostexp.deploy.latency import time_inference
from ghostexp.results import engine_table
from ghostexp.results.latency_file import check_measured, document, write_latency
from ghostexp.results.latency_report import to_markdown, write_measurements
from ghostexp.results.record import command_line
from ghostexp.runs.engine_table import FORMS as ENGINE_FORMS
from ghostexp.runs.engine_table import groups, time_engines
from ghostexp.runs.inference import (
    circumstances,
    default_models,
    subjects_of_models,
    subjects_of_run,
)
from ghostexp.runs.machine import allowed_cores


def infer(arguments: list[str]) -> None:
    """Networks, or a run's, and their dense twins in every form of deployment."""
    options = _infer_parser().parse_intermixed_args(arguments)
    check_out(options.out)
    batches = options.batch or sorted(BATCH_SIZES)
    threads = options.threads or sorted({1, allowed_cores()})
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


def engines(arguments: list[str]) -> None:
    """The Ghost forms beside smaller dense networks, with one column per engine."""
    known = groups()
    parser = new_parser(
        "engines",
        "Time the Ghost forms and smaller dense networks in each engine. A group of networks has "
        "its batch size and its threads.",
    )
    parser.add_argument("--groups", type=words, help=f"default: {','.join(known)}")
    parser.add_argument("--forms", type=words, help=f"default: {','.join(ENGINE_FORMS)}")
    add_out(parser)
    options = parser.parse_intermixed_args(arguments)
    check_out(options.out)
    wanted = options.groups or list(known)
    if unknown := [name for name in wanted if name not in known]:
        raise UserError(f"--groups are {', '.join(known)}, not {', '.join(unknown)}")
    with users_mistakes("engines"):
        rows = time_engines(
            [known[name] for name in wanted], options.forms or ENGINE_FORMS, options.rounds
        )
    everything = document(rows, circumstances(options.rounds), command_line())
    print(engine_table.to_markdown(everything))
    write_out(engine_table.write_engines, everything, options.out)


def _infer_parser() -> argparse.ArgumentParser:
    parser = new_parser(
        "infer",
        "Time networks and their dense twins on the CPU, in turn: eager, fused, bf16, "
        "torch.compile, the native backend, ONNX Runtime, OpenVINO and int8. For example, "
        "--models ghost_vgg16:vgg16,ghost_resnet56,peers is Ghost-VGG-16 beside VGG-16, "
        "Ghost-ResNet-56 beside itself at ratio 1 (override: model.ratio=3), and, beside each "
        "other at 224x224 pixels, our GhostNet and timm's two peers.",
    )
    add_overrides(parser, CIFAR)
    batches = ",".join(map(str, sorted(BATCH_SIZES)))
    add_models(parser, batches=batches, threads="1 and one for each core")
    parser.add_argument("--forms", type=words, help=f"default: {','.join(FORMS)}")
    parser.add_argument(
        "--run", type=Path, help="folder of a run, in the place of --models and overrides"
    )
    add_out(parser)
    return parser


def _subjects(options: argparse.Namespace) -> list[Subject]:
    if options.run is None:
        return subjects_of_models(options.models or default_models(), [*CIFAR, *options.overrides])
    if options.models or options.overrides:
        given = options.overrides or [f"--models {','.join(options.models)}"]
        raise UserError(
            f"--run {options.run} has its network and its config: leave out {' '.join(given)}, or"
            " leave out --run"
        )
    return subjects_of_run(options.run)
