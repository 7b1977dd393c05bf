"""Which augmentation images get where the config leaves it open: by their size."""

import logging

from omegaconf import DictConfig, OmegaConf

from ghostexp.config.choices import CONFIG_FOLDER
from ghostexp.config.explain import UserError
from ghostexp.config.targets import find_callable
from ghostexp.config.values import parameters

log = logging.getLogger(__name__)

LARGE = 96  # pixels; STL-10's images, which are photos, are as large
WORDS = {False: "cifar", True: "imagenet"}  # files of conf/augment
UNCROPPED = ("cifar", "none")  # files of conf/augment that say nothing of `files`


def choose_augmentation(dataset: DictConfig) -> None:
    """Fill a null `augment.crop_padding` of a set that can read its images through `files`.

    Images of at least 96 pixels get the crops of `augment=imagenet`, smaller images get
    the crops of `augment=cifar`. A set whose `files` are given crops there, and nowhere else.
    """
    augment = dataset.get("augment")
    if "files" not in dataset or not augment or augment.get("crop_padding", 0) is not None:
        return
    if dataset.files is not None:
        augment.crop_padding = 0
        return
    word = WORDS[dataset.image_size >= LARGE]
    chosen = OmegaConf.load(CONFIG_FOLDER / "augment" / f"{word}.yaml")
    dataset.files = chosen.get("files")
    augment.crop_padding = chosen.augment.crop_padding
    if dataset.files is not None:
        log.info("images of %d pixels are cropped as with augment=%s", dataset.image_size, word)


def check_files(dataset: object) -> None:
    """Refuse `dataset.files`, which `augment=imagenet` sets, for a set that reads no files."""
    if not isinstance(dataset, dict) or "files" not in dataset or "_target_" not in dataset:
        return
    name = str(dataset["_target_"])
    known = parameters(find_callable(name, "dataset"))
    if known and "files" not in known:
        raise UserError(
            f"dataset.files is for data that are read from image files, and {name} is not:"
            " augment=imagenet goes with dataset=image_folder or dataset=hf"
        )


def check_word(dataset: DictConfig, word: str | None) -> None:
    """Refuse an `augment=WORD` that leaves the crops of the data set's own `files` as they are."""
    files = dataset.get("files")
    if word not in UNCROPPED or not files or files.get("train") == files.get("evaluate"):
        return
    raise UserError(
        f"augment={word} does not change the crops of dataset.files.train, and this data set crops"
        " where it reads: add 'dataset.files.train=${dataset.files.evaluate}'"
    )
