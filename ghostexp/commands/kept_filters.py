"""How much accuracy init=filters keeps of a trained network, against new weights.

ghostexp kept_filters data/weights/akamaster-resnet56-4bfd9763.th \\
    model=resnet56 model.shortcut=A dataset=image_folder dataset.root=data/cifar10 \\
    dataset.augment.mean=[0.485,0.456,0.406] dataset.augment.std=[0.229,0.224,0.225]

Overrides are words of train.py: the dense network that the weights fit, and the data. Its
convolutions become Ghost modules, once with its filters and once with new weights; printed are the
test images that it gets right as converted, with its batch norms measured again, and after tuning.
"""

import argparse

import torch

from ghostexp.config import cli
from ghostexp.config.audit import audit
from ghostexp.config.build import build, build_network
from ghostexp.config.choices import CONFIG_FOLDER
from ghostexp.config.explain import UserError
from ghostexp.config.mistakes import users_mistakes
from ghostexp.config.options import number
from ghostexp.data.datamodule import ClassificationData
from ghostexp.models.weights import load_weights
from ghostexp.runs.kept_filters import Kept, measure_kept_filters


@cli.script
def main(arguments: list[str] | None = None) -> int:
    """Exit code: 1 with one sentence for a user's slip, else 0."""
    options = _parser().parse_intermixed_args(arguments)
    cfg = cli.compose_config(options.overrides)
    audit(cfg, [CONFIG_FOLDER])
    net = build_network(cfg)
    data = build(cfg.dataset, "dataset")
    if not isinstance(data, ClassificationData):
        raise UserError("kept_filters counts right classes: choose a dataset that has classes")
    with users_mistakes("weights"):
        load_weights(net, options.weights)
    with users_mistakes("dataset"):
        data.prepare_data()
    torch.manual_seed(cfg.seed)
    with users_mistakes("kept_filters"):
        measure_kept_filters(
            net,
            data,
            ratio=options.ratio,
            epochs=options.epochs,
            learning_rates=options.rates,
            test_images=options.test_images,
            say=_print,
        )
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("weights", help="a file of trained weights")
    parser.add_argument("overrides", nargs="*", help="as for train.py")
    parser.add_argument("--ratio", type=number, default=2, help="(default: %(default)s)")
    parser.add_argument("--epochs", type=number, default=1, help="of tuning (default: %(default)s)")
    parser.add_argument(
        "--rates", type=float, nargs="+", default=[0.01, 0.1], help="learning rates"
    )
    parser.add_argument("--test-images", type=number, default=10_000, help="(default: %(default)s)")
    cli.add_grant(parser)
    return parser


def _print(kept: Kept) -> None:
    share = kept.right / kept.images
    print(
        f"{kept.network:8} {kept.params:>9,} params  {kept.right:>6,} of {kept.images:,} right"
        f" ({share:.2%})  {kept.moment}",
        flush=True,
    )
