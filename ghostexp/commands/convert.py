"""Put Ghost modules where they are faster: measured layer by layer, in the engine that counts.

ghostexp convert vgg16 --engine onnxruntime --batch 128 --threads 2
ghostexp convert timm.resnet50 --engine openvino --image-size 224
ghostexp convert torchvision.resnet18 dataset=cifar10 --ratios 2,4

NETWORK is a network of conf/model, or timm.NAME, or torchvision.NAME; overrides are words of
train.py. Without them the data are CIFAR-10 for our networks and ImageNet for the others; only
their shapes count. The engine is torch (the same as fused) or a form of `ghostexp benchmark infer`.

Each convolution is timed as it is and as a Ghost module of each ratio, together with the norm, the
sum and the activation behind it. Where a Ghost module is clearly faster (it loses at most one round
of eight) it is taken, and the whole network is timed: if it is not clearly faster, layers are given
back. The folder --out gets conversion.json (every round), .md, .png (saved time against MACs), and
a config of the converted network, which trains it with new weights.
"""

import argparse
import logging
import shlex
from pathlib import Path
from typing import Any

from torch import nn

from ghostexp.config import cli
from ghostexp.config.build import build_network, input_shape
from ghostexp.config.explain import UserError
from ghostexp.config.facts import completed_config
from ghostexp.config.mistakes import users_mistakes
from ghostexp.config.options import check_out, number, numbers, words
from ghostexp.deploy.forms import FORMS
from ghostexp.results.conversion_report import summary, write_conversion
from ghostexp.results.record import command_line
from ghostexp.runs.conversion_files import as_document, converted_model, dense_model, write_model
from ghostexp.runs.inference import circumstances
from ghostexp.runs.machine import allowed_cores
from ghostexp.runs.measured_conversion import Setting, convert_by_measurement

TORCH = {"torch": "fused"}
FOLDER = Path("outputs/convert")


@cli.script
def main(arguments: list[str] | None = None) -> int:
    """Exit code: 1 with one sentence for a user's slip, else 0."""
    options = _parser().parse_intermixed_args(arguments)
    check_out(options.out)
    logging.basicConfig(format="%(message)s")
    logging.getLogger("ghostexp.runs.measured_conversion").setLevel(logging.INFO)
    logging.getLogger("ghostexp.models").setLevel(logging.WARNING)
    cfg = completed_config(_words(options))
    dense = dense_model(cfg)
    cfg.model = dense
    shape = _square(input_shape(cfg))
    with users_mistakes("convert"):
        document, ratios = _measure(build_network(cfg), shape, options)
    print("\n".join(summary(document)))
    name = f"{options.network}_{options.engine}".replace(".", "_")
    folder = options.out or FOLDER / name
    for path in write_conversion(document, folder):
        print(f"wrote {path}")
    if ratios:
        node = converted_model(dense, ratios, options.cheap_kernel_size, shape[-1])
        _write_plan(node, name, folder / "conf", options)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("network", metavar="NETWORK", help="such as vgg16 or timm.resnet50")
    parser.add_argument("overrides", nargs="*", help="as for train.py")
    parser.add_argument(
        "--engine",
        choices=[*TORCH, *FORMS],
        default="torch",
        metavar="ENGINE",
        help=f"{', '.join([*TORCH, *FORMS])} (default: %(default)s)",
    )
    parser.add_argument("--batch", type=number, default=1, help="images (default: %(default)s)")
    parser.add_argument(
        "--threads", type=number, default=allowed_cores(), help="default: one for each core"
    )
    parser.add_argument("--image-size", type=number, help="the same as dataset.image_size")
    parser.add_argument("--ratios", type=numbers, default=[2], help="such as 2,4 (default: 2)")
    parser.add_argument("--cheap-kernel-size", type=number, default=3, help="(default: 3)")
    parser.add_argument(
        "--skip", type=words, default=[], help="convolutions that stay dense, such as conv1"
    )
    parser.add_argument("--rounds", type=number, default=9, help="counted (default: %(default)s)")
    parser.add_argument("--out", type=Path, help=f"folder (default: {FOLDER}/NETWORK_ENGINE)")
    cli.add_grant(parser)
    return parser


def _words(options: argparse.Namespace) -> list[str]:
    """The overrides that compose the dense network and the shape of its images."""
    source, dot, name = options.network.partition(".")
    words = [f"model={options.network}", "dataset=cifar10"]
    if dot:
        target = {
            "timm": ["model.net._target_=timm.create_model", f"+model.net.model_name={name}"],
            "torchvision": [f"model.net._target_=torchvision.models.{name}"],
        }
        if source not in target:
            raise UserError(f"{options.network}: a network is timm.NAME, torchvision.NAME, or ours")
        words = ["model=converted", *target[source], "model.ratio=1", "dataset=imagenet"]
    if options.image_size is not None:
        words.append(f"dataset.image_size={options.image_size}")
    return [*words, *options.overrides]


def _measure(
    net: nn.Module, shape: tuple[int, int, int], options: argparse.Namespace
) -> tuple[dict[str, Any], dict[str, int]]:
    """What was measured, and the ratio of each convolution that becomes a Ghost module."""
    net.eval().requires_grad_(False)
    form = TORCH.get(options.engine, options.engine)
    setting = Setting(form, options.batch, options.threads, options.rounds)
    found = convert_by_measurement(
        net,
        shape,
        setting,
        ratios=options.ratios,
        cheap_kernel_size=options.cheap_kernel_size,
        skip=options.skip,
    )
    document = as_document(
        found,
        net,
        shape,
        setting,
        network=options.network,
        circumstances=circumstances(options.rounds),
        command=command_line(),
        cheap_kernel_size=options.cheap_kernel_size,
    )
    return document, found.ratios


def _square(shape: tuple[int, int, int]) -> tuple[int, int, int]:
    if shape[1] != shape[2]:
        raise UserError(f"convert measures on square images, not on {shape[1]}x{shape[2]}")
    return shape


def _write_plan(node: dict, name: str, folder: Path, options: argparse.Namespace) -> None:
    """The config of the converted network, and the words that train it."""
    path = folder / "model" / f"{name}.yaml"
    headline = f"{options.network} with Ghost modules where {options.engine} is faster with them."
    write_model(node, headline, path)
    print(f"wrote {path}")
    if node["net"].get("only") is None:  # one ratio
        print(f"model.ratio={node['ratio']} 'model.only=[{','.join(node['only'])}]'")
    rest = shlex.join(options.overrides)
    print(f"train.py model={name} 'hydra.searchpath=[file://{folder}]' {rest}".rstrip())
