"""Values that no annotation rules out: counts below 1, and parts that contradict each other."""

import logging
from math import isfinite

from omegaconf import DictConfig, ListConfig, OmegaConf

from ghostexp.config.explain import UserError

log = logging.getLogger(__name__)

CLASS_WEIGHTS = "task.loss.class_weights"
COUNTS = (  # keys whose values are whole numbers of at least 1, or lists of such
    *("dataset.batch_size", "dataset.image_size", "dataset.in_channels", "dataset.num_classes"),
    *("trainer.accumulate_grad_batches", "trainer.check_val_every_n_epoch", "trainer.max_epochs"),
    *("trainer.log_every_n_steps", "sched.frequency", "sched.scheduler.total_steps"),
)


def check_contradictions(cfg: DictConfig) -> None:
    """`UserError` for the first count below 1, or contradiction between two groups."""
    for key in COUNTS:
        value = OmegaConf.select(cfg, key)
        each = value if isinstance(value, ListConfig) else [value]
        if any(isinstance(number, int) and number < 1 for number in each):
            raise UserError(f"{key} must be a whole number of at least 1, not {value}")
    for key, value in cfg.optimizer.items():
        if isinstance(value, float) and not isfinite(value):
            raise UserError(f"optimizer.{key} must be a finite number, not {value}")
    _check_training(cfg)
    _check_epochs(cfg)
    _check_data(cfg)
    _check_cosines(cfg)


def _check_training(cfg: DictConfig) -> None:
    val_split = cfg.dataset.get("val_split") or 0.0
    if not 0 <= val_split < 1:
        raise UserError(
            f"dataset.val_split is the share held out for validation, in [0, 1), not {val_split}"
        )
    for key in ("limit_train_batches", "max_steps"):
        if cfg.trainer.get(key) == 0:
            raise UserError(f"trainer.{key} is 0: no batch would be trained on")
    smoothing = OmegaConf.select(cfg, "task.loss.label_smoothing")
    if isinstance(smoothing, int | float) and not 0 <= smoothing <= 1:  # torch ignores one below 0
        raise UserError(f"task.loss.label_smoothing is a share in [0, 1], not {smoothing}")
    weights, classes = OmegaConf.select(cfg, CLASS_WEIGHTS), cfg.dataset.get("num_classes")
    if isinstance(weights, ListConfig) and classes is not None and len(weights) != classes:
        raise UserError(
            f"{CLASS_WEIGHTS} has {len(weights)} numbers, but the data set has {classes} classes"
        )
    if "max_lr" in cfg.sched.scheduler and "lr" in (cfg.task.get("param_groups") or {}):
        raise UserError(
            "sched.scheduler.max_lr is one learning rate for all layers, and task.param_groups"
            " gives each block its own: choose another sched"
        )


def _check_epochs(cfg: DictConfig) -> None:
    max_epochs = cfg.trainer.max_epochs
    every = cfg.trainer.get("check_val_every_n_epoch")
    if every is not None and every > max_epochs:
        raise UserError(
            f"trainer.check_val_every_n_epoch={every} is more than trainer.max_epochs={max_epochs}:"
            " no epoch would be validated"
        )
    milestones = cfg.sched.scheduler.get("milestones")
    for milestone in milestones if isinstance(milestones, ListConfig) else []:
        late = isinstance(milestone, int) and milestone >= max_epochs
        if cfg.sched.interval == "epoch" and late:
            log.warning("milestone %s is past the last of %s epochs", milestone, max_epochs)


def _check_data(cfg: DictConfig) -> None:
    """The data set's facts hold wherever else they are written."""
    nodes = {"model": cfg.model, "task": cfg.task}
    if cfg.dataset.get("augment") and cfg.dataset.augment.get("mix"):
        nodes["dataset.augment.mix"] = cfg.dataset.augment.mix
    for path, node in nodes.items():
        for fact in ("num_classes", "in_channels"):
            value, known = node.get(fact), cfg.dataset.get(fact)
            if value is not None and known is not None and value != known:
                raise UserError(f"{path}.{fact} is {value}, but the data set has {known}")


def _check_cosines(cfg: DictConfig) -> None:
    """A loss with a margin takes cosines and one label per input, other losses take neither."""
    wanted, given = (bool(cfg.task.get("cosines")), bool(cfg.model.get("cosine_head")))
    if wanted and not given:
        raise UserError(
            f"{cfg.task.loss._target_} takes cosines, and this model ({cfg.model._target_}) has no"
            " cosine head: choose a model that has one, such as ghost_efficientnet_v2, or"
            " task=classification"
        )
    if given and not wanted:
        raise UserError(
            "model.cosine_head=true gives cosines, which task.cosines=false takes for logits:"
            " choose task=arcface or task=circle"
        )
    if wanted and cfg.dataset.get("augment") and cfg.dataset.augment.get("mix"):
        raise UserError(
            f"{cfg.task.loss._target_} takes one label per input, and dataset.augment.mix makes"
            " class shares: set it to null, or choose task=classification"
        )
