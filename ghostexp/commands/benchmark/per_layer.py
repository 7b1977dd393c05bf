"""Benchmarks of single layers: each Ghost module, and our kernels of a training step."""

from omegaconf import DictConfig

from ghostexp.analysis.kernel_speed import Program, kernels_table, time_kernels
from ghostexp.analysis.layer_latency import faster_layers, fill_table, time_layers
from ghostexp.commands.benchmark.options import (
    BATCH_SIZES,
    add_overrides,
    composed,
    console,
    new_parser,
)
from ghostexp.config.build import build_parts
from ghostexp.config.mistakes import users_mistakes
from ghostexp.runs.loop_times import result_table

GHOST_ON_CIFAR = ["model=ghost_resnet56", "dataset=cifar10"]  # shapes only: no images are read


def layers(arguments: list[str]) -> None:
    """Every Ghost module against its convolution."""
    parser = new_parser(
        "layers",
        "Time each Ghost module of a network against its convolution, for batches of 128 and "
        "of 1. It needs no images, only their shapes. It ends with a list of the layers where the "
        "Ghost module is faster. This command trains a network with Ghost modules only there: "
        "train.py model=converted model.net._target_=ghostexp.models.resnet56 'model.only=[...]'",
    )
    parser.add_argument("--step", action="store_true", help="time forward and backward")
    add_overrides(parser, GHOST_ON_CIFAR)
    options = parser.parse_intermixed_args(arguments)
    with composed([*GHOST_ON_CIFAR, *options.overrides]) as cfg:
        _time_ghosts(cfg, options.rounds, options.step)


def kernels(arguments: list[str]) -> None:
    """The kernels of a native step for one batch, in float32 and where there is bfloat16 in it."""
    parser = new_parser(
        "kernels",
        "Time the kernels of a training step by callbacks=native beside the ceiling of this CPU.",
    )
    add_overrides(parser, GHOST_ON_CIFAR)
    options = parser.parse_intermixed_args(arguments)
    with composed([*GHOST_ON_CIFAR, *options.overrides]) as cfg:
        _time_kernels(cfg, options.rounds)


def _time_ghosts(cfg: DictConfig, rounds: int, step: bool) -> None:
    """A table per batch size, and the layers that `model.only` may name."""
    parts = build_parts(cfg)
    net = parts.task.net.to(parts.trainer.strategy.root_device)
    bf16 = "bf16" in str(parts.trainer.precision)
    what = "training step" if step else "inference"
    screen = console()
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
        screen.print(table)
        names = faster_layers(timings)
        total = sum(len(timing.names) for timing in timings)
        screen.print(
            f"{title}: the Ghost module is faster in every round in {len(names)} of {total} layers"
        )
        if names:
            print(f"model.only=[{','.join(names)}]")


def _time_kernels(cfg: DictConfig, rounds: int) -> None:
    parts = build_parts(cfg)
    screen = console()
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
        screen.print(kernels_table(title, ceiling, speeds))
