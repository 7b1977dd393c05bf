"""What a config leaves open and its data and weights know, written into the config.

A saved config is then whole: a run can be loaded again where its data or weights are not.
"""

import logging
from pathlib import Path

import yaml
from omegaconf import DictConfig, OmegaConf, open_dict

from ghostexp.config.audit import audit
from ghostexp.config.augmentation import choose_augmentation
from ghostexp.config.build import build
from ghostexp.config.choices import CONFIG_FOLDER
from ghostexp.config.cli import compose_config
from ghostexp.config.contradictions import CLASS_WEIGHTS
from ghostexp.config.explain import UserError
from ghostexp.config.mistakes import users_mistakes
from ghostexp.config.saved import CONFIG_FILE
from ghostexp.config.targets import targets
from ghostexp.models.preprocessing import Preprocessing, of_timm, of_torchvision
from ghostexp.models.published import PUBLISHED
from ghostexp.training.logit_losses import BALANCED, balanced_weights

log = logging.getLogger(__name__)

MOST_TOLD = 200  # letters of a line


def completed_config(overrides: list[str], run_dir: str = ".") -> DictConfig:
    """The config of a command line, audited and with its facts, for a command that makes no run."""
    cfg = compose_config(overrides)
    audit(cfg, [CONFIG_FOLDER])
    with open_dict(cfg):
        cfg.run_dir = run_dir
    complete_facts(cfg)
    return cfg


def complete_facts(cfg: DictConfig) -> None:
    """Fill `dataset.num_classes`, `.interpolation`, `.files`, and `dataset.augment`'s null values.

    Only what is null is filled, and `task.loss.class_weights` where it is `balanced`. Call this
    after `audit`, because it builds the data set (without reading an example, but for balanced
    weights), and before the network is built or the config is compared or saved.
    """
    if cfg.dataset.get("augment") and "image_size" in cfg.dataset:
        _follow_weights(cfg)
    choose_augmentation(cfg.dataset)
    if "num_classes" in cfg.dataset and cfg.dataset.num_classes is None:
        _count_classes(cfg)
    if OmegaConf.select(cfg, CLASS_WEIGHTS) == BALANCED:
        _weigh_classes(cfg)


def weights_preprocessing(model: DictConfig) -> tuple[str, Preprocessing] | None:
    """The trained weights that a model starts from, and how their images were prepared."""
    for _, node in targets(model):
        name = node._target_.rpartition(".")[2]
        weights = node.get("weights")
        if node._target_.startswith("torchvision.models.") and weights:
            found = of_torchvision(name, weights)
        elif node._target_.startswith("timm.") and node.get("pretrained"):
            weights = node.model_name
            found = of_timm(weights)
        elif weights in PUBLISHED:
            found = PUBLISHED[weights].preprocessing
        else:
            found = _of_run(weights) if weights else None
        if found is not None:
            return weights, found
    return None


def _count_classes(cfg: DictConfig) -> None:
    datamodule = build(cfg.dataset, "dataset")
    with users_mistakes("dataset"):
        names = datamodule.list_classes()
    cfg.dataset.num_classes = len(names)
    log.info("dataset.num_classes=%d, as many classes as the data have", len(names))


def _weigh_classes(cfg: DictConfig) -> None:
    """The weights of the classes that the training split gives."""
    datamodule = build(cfg.dataset, "dataset")
    if not hasattr(type(datamodule), "train_counts"):
        raise UserError(
            f"{CLASS_WEIGHTS}={BALANCED}: this data set does not count its classes"
            f" ({type(datamodule).__name__} has no train_counts); give the weights as a list"
        )
    with users_mistakes("dataset"):
        datamodule.prepare_data()
        datamodule.setup("fit")
    with users_mistakes("task.loss"):
        weights = balanced_weights(datamodule.train_counts)
    OmegaConf.update(cfg, CLASS_WEIGHTS, weights)
    pairs = zip(datamodule.class_names, weights, strict=True)
    told = ", ".join(f"{name} {each:.3g}" for name, each in pairs)
    log.info("%s=%s of the training split: %s", CLASS_WEIGHTS, BALANCED, told[:MOST_TOLD])


def _follow_weights(cfg: DictConfig) -> None:
    """Replace null values by the values of the weights, and say where other values differ."""
    found = weights_preprocessing(cfg.model)
    if found is None:
        return
    weights, wanted = found[0], found[1].for_channels(cfg.dataset.in_channels)
    augment = cfg.dataset.augment
    if augment.mean is None and augment.std is None:
        augment.mean, augment.std = list(wanted.mean), list(wanted.std)
    if "interpolation" in cfg.dataset and cfg.dataset.interpolation is None:
        cfg.dataset.interpolation = wanted.interpolation
    pairs = {
        "dataset.augment.mean": (augment.mean, list(wanted.mean)),
        "dataset.augment.std": (augment.std, list(wanted.std)),
        "dataset.interpolation": (cfg.dataset.get("interpolation"), wanted.interpolation),
    }
    differing = [
        f"{key}={value} instead of {wish}"
        for key, (value, wish) in pairs.items()
        if value is not None and value != wish
    ]
    if differing:
        log.warning(
            "the images are not prepared as those of weights=%s were: %s",
            weights,
            ", ".join(differing),
        )
    else:
        log.info("images are prepared as those of weights=%s were", weights)


def _of_run(weights: str) -> Preprocessing | None:
    """How the run that a checkpoint lies in prepared its images; None if it is no run's."""
    saved = Path(weights).parent.parent / CONFIG_FILE
    if not saved.is_file():
        return None
    try:
        config = OmegaConf.load(saved)
    except yaml.YAMLError as error:
        raise UserError(f"{saved}, beside weights={weights}, cannot be read") from error
    mean, std, image_size, interpolation = (
        OmegaConf.select(config, f"dataset.{key}")
        for key in ("augment.mean", "augment.std", "image_size", "interpolation")
    )
    if mean is None or std is None or image_size is None:
        return None
    return Preprocessing(tuple(mean), tuple(std), interpolation or "bilinear")
