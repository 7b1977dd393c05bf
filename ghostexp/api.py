"""The project from Python: what the commands do, with the same words, records and checks.

    import ghostexp
    run = ghostexp.train(["model=ghost_resnet56", "trainer.max_epochs=2"])
    run.metrics["test/acc"], run.net, run.directory
    runs = ghostexp.sweep(["model.ratio=2,4", "name=ratios"])
    net = ghostexp.create_model("ghostnet", num_classes=5)

A mistake in the words is a ValueError with the sentence that the command prints.
"""

import logging
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from fnmatch import fnmatch
from typing import Any

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.types import Override
from omegaconf import DictConfig
from torch import nn

from ghostexp.config import cli
from ghostexp.config.arguments import quoted
from ghostexp.config.build import build_network
from ghostexp.config.choices import CONFIG_FOLDER, PACKAGE
from ghostexp.config.explain import UserError, did_you_mean
from ghostexp.models.feature_maps import FeatureMaps
from ghostexp.results.collect import collect
from ghostexp.runs import experiment
from ghostexp.runs.run import Run
from ghostexp.sweeps import plugins, resumed
from ghostexp.sweeps.job import job_of_hydra, parse
from ghostexp.training.stopping import Stopped

TRAIN = PACKAGE / "commands" / "train.py"


def train(words: Sequence[str] = ()) -> Run:
    """Train one network, as `python train.py WORDS` does; returns the finished run.

    ValueError with one sentence where the run is refused or fails. KeyboardInterrupt where it is
    interrupted; `train(["resume=FOLDER"])` goes on with it.
    """
    runs: list[Run] = []
    failures: list[UserError] = []

    def task(cfg: DictConfig) -> None:
        job = job_of_hydra(cfg, HydraConfig.get())
        try:
            experiment.run_job(job)
        except UserError as error:  # Hydra would print the words before it passed the error on
            failures.append(error)
        runs.append(Run(job.directory))

    if any(override.is_sweep_override() for override in _parsed(words)):
        raise UserError("train takes one value for each key: sweep(...) trains all combinations")
    _launch(words, task)
    if failures:
        raise failures[0]
    return runs[0]


def sweep(words: Sequence[str]) -> list[Run]:
    """Train all combinations, as `python train.py -m WORDS` does; returns the runs of the folder.

    Finished runs of the folder are not trained again. ValueError where a job cannot run (then none
    is started) or has failed (the others are trained).
    """
    _launch(["--multirun", *words], experiment.run)
    pairs = zip(words, _parsed(words), strict=True)
    fixed = [word for word, override in pairs if not override.is_sweep_override()]
    folder = cli.compose_config(fixed, with_hydra=True).hydra.sweep.dir
    return [Run(run.directory) for run in collect(folder).runs]


def create_model(name: str, *, features_only: bool = False, **settings: Any) -> nn.Module:
    """A network of conf/model with random weights, or with the weights of `weights=FILE`.

    `settings` are the keys of the network's config: `num_classes` (1,000 where it is left out),
    `in_channels` (3), `ratio`, `width_mult` and so on. With `features_only` the network gives its
    last map of each resolution in the place of logits: see `FeatureMaps`. ValueError for an unknown
    name or key.
    """
    if name not in list_models():
        raise UserError(f"{name}: no such network{did_you_mean(name, list_models())}")
    cfg = cli.compose_config([f"model={name}", "dataset=imagenet"])
    for key, value in settings.items():
        if key not in cfg.model:
            keys = [str(each) for each in cfg.model]
            raise UserError(f"{name} has no {key}{did_you_mean(key, keys)}")
        cfg.model[key] = value
    net = build_network(cfg)
    return FeatureMaps(net, _usual_input(cfg)) if features_only else net


def _usual_input(cfg: DictConfig) -> tuple[int, int, int]:
    """Shape of an image that is large enough for every network to have its maps."""
    return cfg.model.get("in_channels", 3), 224, 224


def list_models(pattern: str = "*") -> list[str]:
    """Names of the networks in conf/model that match, such as `ghost*`."""
    names = sorted(path.stem for path in (CONFIG_FOLDER / "model").glob("*.yaml"))
    return [name for name in names if fnmatch(name, pattern)]


def _parsed(words: Sequence[str]) -> list[Override]:
    with cli.composing():
        return parse([quoted(word) for word in words])


def _launch(words: Sequence[str], task: Callable[[DictConfig], Any]) -> None:
    """Give the words to Hydra as the command line does."""
    os.environ.setdefault("HYDRA_FULL_ERROR", "1")  # errors come here instead of Hydra's printer
    plugins.register()
    main = hydra.main(str(CONFIG_FOLDER), "train", version_base="1.3")(task)
    with _command_line([str(TRAIN), *words]), _log_handlers_kept(), cli.composing():
        try:
            resumed.check_folder(sys.argv[1:])
            cli.take_command_line()
            main()
        except Stopped as stop:
            raise KeyboardInterrupt from stop


@contextmanager
def _command_line(arguments: list[str]) -> Iterator[None]:
    """What Hydra reads, what the record keeps, and what further devices' processes repeat."""
    earlier, sys.argv = sys.argv, arguments
    try:
        yield
    finally:
        sys.argv = earlier


@contextmanager
def _log_handlers_kept() -> Iterator[None]:
    """Hydra replaces the handlers of a notebook by its own."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    try:
        yield
    finally:
        for handler in set(root.handlers) - set(handlers):
            handler.close()
        root.handlers, root.level = handlers, level
