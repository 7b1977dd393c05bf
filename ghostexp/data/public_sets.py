"""Public data sets that come with a library or are downloaded: digits, CIFAR-10 and CIFAR-100."""

import logging

import numpy as np
import torch
from torch.nn import functional as F

from ghostexp.data.in_memory import InMemory, LabelledSet
from ghostexp.data.splits import SPLIT_SEED, TEST_SHARE, stratified_split
from ghostexp.download import NotDownloaded, is_offline

log = logging.getLogger(__name__)


def check_facts(name: str, given: tuple[int, int, int], facts: tuple[int, int, int]) -> None:
    """Refuse values of the config that a fixed data set does not have."""
    if given != facts:
        raise ValueError(
            f"num_classes, in_channels and image_size of {name} are {facts}, not {given}"
        )


def load_digits(image_size: int) -> LabelledSet:
    """The digits, 8x8 with values 0 to 16, resized; a fifth of each is the test split."""
    from sklearn import datasets  # a second of imports that only this data set needs

    log.info(
        "training on scikit-learn's handwritten digits, which need no download;"
        " for CIFAR-10 say dataset=cifar10"
    )
    bunch = datasets.load_digits()
    small = torch.from_numpy(bunch.images).float()[:, None] * (255 / 16)  # [N, 1, 8, 8]
    resized = F.interpolate(small, size=(image_size, image_size), mode="bilinear")
    pixels = resized.round().to(torch.uint8).permute(0, 2, 3, 1).contiguous()
    labels = torch.from_numpy(bunch.target).long()
    names = [str(name) for name in bunch.target_names]
    train, test = stratified_split(
        torch.arange(len(labels)), labels, names, share=TEST_SHARE, seed=SPLIT_SEED
    )
    return LabelledSet(InMemory(pixels), labels, names, train, torch.arange(0), test)


def load_cifar(name: str, root: str) -> LabelledSet:
    """torchvision's `CIFAR10` or `CIFAR100`, downloaded into `root` where it is not there yet."""
    from torchvision import datasets

    cifar = getattr(datasets, name)
    try:
        parts = [cifar(root, train=train, download=not is_offline()) for train in (True, False)]
    except (OSError, RuntimeError) as error:  # RuntimeError: the checksum differs
        by_hand = f"put the file {cifar.url} into {root} by hand"
        if is_offline():
            raise NotDownloaded(
                f"{name} is not in {root}, and this command downloads nothing: {by_hand}, or let a"
                " training download it"
            ) from error
        raise ValueError(
            f"{name} is not in {root} and cannot be downloaded ({error}): {by_hand}, or train on"
            " images of your own with dataset=image_folder dataset.root=FOLDER, or offline with"
            " dataset=digits"
        ) from error
    pixels = torch.from_numpy(np.concatenate([part.data for part in parts]))
    labels = torch.tensor([label for part in parts for label in part.targets])
    train, test = torch.arange(len(labels)).split([len(part) for part in parts])
    names = list(parts[0].classes)
    return LabelledSet(InMemory(pixels), labels, names, train, torch.arange(0), test)
