"""How much accuracy init=filters keeps of a trained network, against new weights.

ghostexp kept_filters data/weights/akamaster-resnet56-4bfd9763.th \\
    model=resnet56 model.shortcut=A dataset=image_folder dataset.root=data/cifar10 \\
    dataset.augment.mean=[0.485,0.456,0.406] dataset.augment.std=[0.229,0.224,0.225]

Overrides are those of train.py: the dense network that the weights fit, and the data. Its
convolutions become Ghost modules, once with its filters and once with new weights; printed are the
test images that it gets right as converted, with its batch norms measured again, and after tuning.
"""

import argparse
import sys

import torch

from ghostexp.config.audit import audit
from ghostexp.config.build import build, build_network
from ghostexp.config.choices import CONFIG_FOLDER
from ghostexp.config.cli import compose_config
from ghostexp.config.explain import UserError
from ghostexp.config.mistakes import users_mistakes
from ghostexp.models.weights import load_weights
from ghostexp.runs.kept_filters import Kept, measure_kept_filters


def main() -> int:
    """Exit code: 1 with one sentence for a user's slip, else 0."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("weights", help="a file of trained weights")
    parser.add_argument("overrides", nargs="*", help="as for train.py")
    parser.add_argument("--ratio", type=int, default=2, help="(default: %(default)s)")
    parser.add_argument("--epochs", type=int, default=1, help="of tuning (default: %(default)s)")
    parser.add_argument(
        "--rates", type=float, nargs="+", default=[0.01, 0.1], help="learning rates"
    )
    parser.add_argument("--test-images", type=int, default=10_000, help="(default: %(default)s)")
    options = parser.parse_intermixed_args()
    try:
        cfg = compose_config(options.overrides)
        audit(cfg, [CONFIG_FOLDER])
        net = build_network(cfg)
        data = build(cfg.dataset, "dataset")
        with users_mistakes("weights"):
            load_weights(net, options.weights)
        with users_mistakes("dataset"):
            data.prepare_data()
        torch.manual_seed(cfg.seed)
        measure_kept_filters(
            net,
            data,
            ratio=options.ratio,
            epochs=options.epochs,
            learning_rates=options.rates,
            test_images=options.test_images,
            say=_print,
        )
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


def _print(kept: Kept) -> None:
    share = kept.right / kept.images
    print(
        f"{kept.network:8} {kept.params:>9,} params  {kept.right:>6,} of {kept.images:,} right"
        f" ({share:.2%})  {kept.moment}",
        flush=True,
    )
