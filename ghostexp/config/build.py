"""From a composed config to the objects of a training: datamodule, task, trainer."""

import copy
import inspect
import logging
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import hydra.utils
import pytorch_lightning as pl
import torch
from omegaconf import DictConfig
from pytorch_lightning.callbacks import (
    Checkpoint,
    LearningRateMonitor,
    ModelCheckpoint,
    ProgressBar,
)

from ghostexp.config.explain import UserError
from ghostexp.config.mistakes import users_mistakes
from ghostexp.config.monitors import check_monitor, check_validated, lacks_validation
from ghostexp.config.precision import AUTO, resolve_precision
from ghostexp.config.targets import locate, product_check, targets
from ghostexp.training.callbacks import Checks, StopAfterBatch
from ghostexp.training.checkpoint_io import AtomicCheckpointIO
from ghostexp.training.watching import never_failing

log = logging.getLogger(__name__)

# which device it found, tips, advertisements
for speaker in ("utilities.rank_zero", "accelerators.cuda"):
    logging.getLogger(f"pytorch_lightning.{speaker}").setLevel(logging.WARNING)

# Lightning 2.6 beside torch 2.15: users cannot change them
warnings.filterwarnings("ignore", ".*LeafSpec", FutureWarning)
warnings.filterwarnings("ignore", "Checkpoint directory .* exists and is not empty")  # resuming
warnings.filterwarnings("ignore", "The number of training batches .* is smaller than the logging")
warnings.filterwarnings("ignore", "Precision bf16-mixed is not supported by the model summary")
# on the login node of a cluster, where a run of one process is nothing wrong
warnings.filterwarnings("ignore", "The `srun` command is available on your system")


@dataclass(frozen=True)
class Parts:
    """What a config builds: data, the task around the network, and what trains it."""

    datamodule: pl.LightningDataModule
    task: pl.LightningModule
    trainer: pl.Trainer


def build_parts(
    cfg: DictConfig, *, extra: Sequence[pl.Callback] = (), net: torch.nn.Module | None = None
) -> Parts:
    """Everything a training needs, checked against each other before any data loads.

    `extra` are callbacks that no config names; they come before the config's. `net` takes the place
    of the config's network; it may have no parameters, because it is not trained.
    """
    pl.seed_everything(cfg.seed, workers=True, verbose=False)
    datamodule = build(cfg.dataset, "dataset")
    product_check(datamodule, "dataset", pl.LightningDataModule)
    task = build(
        cfg.task,
        "task",
        net=build_network(cfg) if net is None else net,
        optimizer=build(cfg.optimizer, "optimizer"),
        sched=build(cfg.sched, "sched"),
    )
    _check_detection(datamodule, task)
    if net is None:
        check_optimisation(task)
    callbacks = [*extra, *_build_callbacks(cfg, datamodule, task)]
    trainer = _build_trainer(cfg, callbacks)
    for callback in callbacks:
        if isinstance(callback, Checks):
            with users_mistakes("callbacks"):
                callback.check(trainer, task, datamodule)
    return Parts(datamodule, task, trainer)


def _build_trainer(cfg: DictConfig, callbacks: Sequence[pl.Callback]) -> pl.Trainer:
    where = ", ".join(f"{key}={cfg.trainer.get(key)}" for key in ("accelerator", "devices"))
    accelerator = str(cfg.trainer.get("accelerator", "auto"))
    _check_device(accelerator)
    return build(
        cfg.trainer,
        f"trainer ({where})",
        precision=resolve_precision(cfg.trainer.get("precision", AUTO), accelerator),
        callbacks=[StopAfterBatch(), *callbacks],
        logger=[
            never_failing(build(node, f"logger.{name}")) for name, node in _nodes(cfg.get("logger"))
        ],
        default_root_dir=str(cfg.run_dir),
        plugins=[AtomicCheckpointIO()],
        **_without_lightnings_own(cfg, callbacks),
    )


def _check_device(accelerator: str) -> None:
    """Refuse a GPU that this machine lacks: Lightning's sentence has no way out."""
    cuda, mps = torch.cuda.is_available(), torch.backends.mps.is_available()
    if not {"gpu": cuda or mps, "cuda": cuda, "mps": mps}.get(accelerator, True):
        raise UserError(
            f"trainer.accelerator={accelerator}: torch finds no such device on this machine, and"
            " trainer.accelerator=auto takes a device that it finds"
        )


def build_network(cfg: DictConfig) -> torch.nn.Module:
    """The bare network of the config, initialised from its seed."""
    torch.manual_seed(cfg.seed)
    net = build(cfg.model, "model")
    product_check(net, "model", torch.nn.Module)
    return net


def dense_twin(cfg: DictConfig) -> torch.nn.Module | None:
    """The same network with ratio 1; None where there is no ratio, or it is 1 already."""
    if cfg.model.get("ratio", 1) == 1:
        return None
    dense = cfg.copy()
    dense.model.ratio = 1
    return build_network(dense)


def input_shape(cfg: DictConfig) -> tuple[int, int, int]:
    """Shape of an example as the network sees it, (C, H, W); its data need not be there.

    Of images it is what the config says, also where the data set has no images of that size.
    """
    if "image_size" in cfg.dataset:
        return cfg.dataset.in_channels, cfg.dataset.image_size, cfg.dataset.image_size
    return build(cfg.dataset, "dataset").input_shape


def build(node: DictConfig, path: str, **arguments: Any) -> Any:
    """Instantiate a config node with plain containers; `arguments` are objects the code adds."""
    with users_mistakes(path):
        return hydra.utils.instantiate(_located(node, path), _convert_="all", **arguments)


def _located(node: DictConfig, path: str) -> DictConfig:
    """A copy that holds functions in the place of their names.

    Hydra takes the function `ghostexp.models.ghostnet` for the module in which it is defined.
    """
    located = copy.deepcopy(node)  # with the parent that its interpolations need
    located._set_flag(["allow_objects", "struct", "readonly"], [True, False, False])
    for place, each in list(targets(located)):
        found = locate(each._target_, f"{path}.{place}".rstrip("."))
        if inspect.isfunction(found):
            each._target_ = found
    return located


def check_optimisation(task: pl.LightningModule) -> None:
    """What optimizer and schedule would say after the data has loaded."""
    try:
        task.check_optimisation()
    except ValueError as error:  # names its key
        raise UserError(str(error)) from error


def _check_detection(datamodule: pl.LightningDataModule, task: pl.LightningModule) -> None:
    """A detector, boxes and the task of detection go together."""
    are_for_it = {
        "model": "targets" in inspect.signature(task.net.forward).parameters,
        "dataset": hasattr(type(datamodule), "category_ids"),
        "task": "test/map" in task.logged_metrics,
    }
    those = [name for name, is_for_it in are_for_it.items() if is_for_it]
    if those and len(those) < len(are_for_it):
        others = [name for name in are_for_it if name not in those]
        raise UserError(
            f"{' and '.join(those)} of this config {'is' if len(those) == 1 else 'are'} for"
            f" detection, but not {' and '.join(others)}: choose a detector, a data set with boxes,"
            f" task=detection and callbacks=detection"
        )


def _build_callbacks(
    cfg: DictConfig, datamodule: pl.LightningDataModule, task: pl.LightningModule
) -> list[pl.Callback]:
    validates = datamodule.has_validation and _validates(cfg.trainer)
    check_monitor("sched", cfg.sched, task)
    check_validated("sched", cfg.sched, validates)
    callbacks = []
    for name, node in _nodes(cfg.get("callbacks")):
        callback = build(node, f"callbacks.{name}")
        if isinstance(callback, ModelCheckpoint) and cfg.trainer.get("fast_dev_run"):
            continue  # Lightning keeps no checkpoint of such a run
        check_monitor(f"callbacks.{name}", node, task)
        if isinstance(callback, ModelCheckpoint) and lacks_validation(node, validates):
            log.info("nothing is validated: no %s.ckpt, the last epoch is reported", name)
            continue
        if isinstance(callback, LearningRateMonitor) and not _nodes(cfg.get("logger")):
            continue  # it has nowhere to write to, and Lightning refuses it
        check_validated(f"callbacks.{name}", node, validates)
        callbacks.append(callback)
    return callbacks


def _without_lightnings_own(cfg: DictConfig, callbacks: list[pl.Callback]) -> dict[str, bool]:
    """Trainer arguments by which Lightning adds no bar and no checkpoints to a run without them."""
    kinds = {"enable_progress_bar": ProgressBar, "enable_checkpointing": Checkpoint}
    return {
        argument: any(isinstance(callback, kind) for callback in callbacks)
        for argument, kind in kinds.items()
        if argument not in cfg.trainer
    }


def _validates(trainer: DictConfig) -> bool:
    limit = trainer.get("limit_val_batches")
    return limit is None or limit > 0


def _nodes(group: DictConfig | None) -> list[tuple[str, DictConfig]]:
    return [(str(name), node) for name, node in (group or {}).items() if node is not None]
