"""Published weights by name: weights of the papers' authors, of torchvision, and of our runs.

The files of others are fetched into a cache. Ours are part of the project: `ghostexp weights` wrote
them from runs in outputs/published, in half precision.
"""

import hashlib
import logging
import shutil
from dataclasses import dataclass
from pathlib import Path

from torchvision import models

from ghostexp.download import fetch
from ghostexp.files.caches import user_cache
from ghostexp.models.preprocessing import CIFAR10, IMAGENET, Preprocessing, of_torchvision

log = logging.getLogger(__name__)

PACKAGE = Path(__file__).resolve().parents[1]
IN_WHEEL, IN_CHECKOUT = PACKAGE / "weights", PACKAGE.parent / "outputs" / "published" / "weights"
INCLUDED = IN_WHEEL if IN_WHEEL.is_dir() else IN_CHECKOUT

GITHUB = "https://github.com/huawei-noah/Efficient-AI-Backbones"


@dataclass(frozen=True)
class Published:
    """A file of trained weights: its address, its SHA-256 or the first digits, what it fits.

    `url` is None for the files in INCLUDED. `preprocessing` says how the images were prepared with
    which the weights were trained.
    """

    url: str | None
    sha256: str | None
    fits: str
    preprocessing: Preprocessing | None = None


# the authors' validate.py of GhostNet; timm's record of GhostNetV2
_V1 = Preprocessing(*IMAGENET, "bilinear")
_V2 = Preprocessing(*IMAGENET, "bicubic")


def _torchvision(size: str, sha256: str) -> Published:
    """An EfficientNetV2 of torchvision, whose file names end in the first digits of the hash."""
    network = f"efficientnet_v2_{size}"
    known = models.get_model_weights(network).IMAGENET1K_V1
    preprocessing = of_torchvision(network, "IMAGENET1K_V1")
    return Published(known.url, sha256, f"model={network}", preprocessing)


def _for_cifar10(network: str, sha256: str) -> Published:
    """Weights of ours for CIFAR-10."""
    fits = f"model={network} dataset=cifar10"
    return Published(None, sha256, fits, Preprocessing(*CIFAR10, "bilinear"))


PUBLISHED = {  # for ImageNet: of the papers' authors, top-1 73.98, 75.3, 76.9, 77.8 %
    "ghostnet_1.0": Published(
        f"{GITHUB}/raw/master/ghostnet_pytorch/models/state_dict_73.98.pth",
        "965143b0",  # as far as it is published, by third parties who load the file with it
        "model=ghostnet",
        _V1,
    ),
    "ghostnet_v2_1.0": Published(
        f"{GITHUB}/releases/download/GhostNetV2/ck_ghostnetv2_10.pth.tar",
        None,
        "model=ghostnet_v2",
        _V2,
    ),
    "ghostnet_v2_1.3": Published(
        f"{GITHUB}/releases/download/GhostNetV2/ck_ghostnetv2_13.pth.tar",
        None,
        "model=ghostnet_v2 model.width_mult=1.3",
        _V2,
    ),
    "ghostnet_v2_1.6": Published(
        f"{GITHUB}/releases/download/GhostNetV2/ck_ghostnetv2_16.pth.tar",
        None,
        "model=ghostnet_v2 model.width_mult=1.6",
        _V2,
    ),
    # torchvision's; top-1 84.23, 85.11, 85.81 %
    "efficientnet_v2_s": _torchvision("s", "dd5fe13b"),
    "efficientnet_v2_m": _torchvision("m", "dc08266a"),
    "efficientnet_v2_l": _torchvision("l", "59c71312"),
    # ours, for CIFAR-10; docs/results/cifar10.md has the command and the accuracy
    "ghost_resnet56_cifar10": _for_cifar10(
        "ghost_resnet56",
        "037ab78e28216fa57b76eae8e8956c0222439a29c1562ba65f567caff1442143",
    ),
    "ghost_resnet56_cifar10_200_epochs": _for_cifar10(
        "ghost_resnet56",
        "ef7b8ea6356e90ac4aecfdc171f2739eed32c2e6d94f1fbd7aec42d376edf15e",
    ),
    "resnet56_cifar10": _for_cifar10(
        "resnet56",
        "06300a51c07d1df378a3e5f5d17e2ec084ce0cd35d67720ae103a0233f63a833",
    ),
    # ours, for ten spoken digits; docs/results/audio.md
    "ghost_efficientnet_v2_050_digits": Published(
        None,
        "2aaa1c1671a28bd82694c2ab67cf83b13ca0487426fa34e4544f187e569471df",
        "model=ghost_efficientnet_v2_050 task=arcface dataset=fsdd_digits",
    ),
}


def locate(source: str) -> Path:
    """File of a name in PUBLISHED, fetched if it is not there yet, or of a path."""
    if source in PUBLISHED:
        return _find(source, cache_folder())
    if not Path(source).is_file():
        raise ValueError(
            f"weights={source} is neither a file nor one of the published {', '.join(PUBLISHED)}"
        )
    return Path(source)


def fetch_published(name: str, folder: Path) -> Path:
    """File of published weights in `folder`: fetched, or copied if it is one of ours."""
    found = _find(name, folder)
    if found.parent == folder.resolve():
        return found
    folder.mkdir(parents=True, exist_ok=True)
    return Path(shutil.copy(found, folder))


def cache_folder() -> Path:
    """Folder below the user's cache where published weights are kept."""
    return user_cache() / "weights"


def _find(name: str, folder: Path) -> Path:
    """The file of a name: ours in INCLUDED, or fetched into `folder`. Its SHA-256 is checked."""
    published = PUBLISHED[name]
    if published.url is None:
        path = INCLUDED / f"{name}.safetensors"
        _check_ours(path, published)
        return path
    path = Path(folder) / f"{name}.pth"
    digest = fetch(published.url, path, sha256=published.sha256)
    log.info("%s has SHA-256 %s", path, digest)
    return path


def _check_ours(path: Path, published: Published) -> None:
    if not path.exists():
        raise ValueError(f"{path} is missing: it is a file of this project; install it again")
    found = hashlib.sha256(path.read_bytes()).hexdigest()
    if found != published.sha256:
        raise ValueError(
            f"{path} has SHA-256 {found} instead of {published.sha256}: it was changed, or a part"
            " of it is missing; take the file from the project again"
        )
