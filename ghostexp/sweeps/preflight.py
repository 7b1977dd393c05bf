"""Before a sweep's first job: every grid point is checked, built and costed.

Job nine of nine must not die of a typing error after six hours. Data sets are loaded once each.
"""

import json
import logging
from dataclasses import dataclass

from omegaconf import DictConfig, OmegaConf, open_dict
from rich.console import Console
from rich.table import Table

from ghostexp.analysis.complexity import count_macs, count_params
from ghostexp.analysis.estimate import StepCost, step_cost
from ghostexp.config.audit import audit
from ghostexp.config.build import build, build_network, resolve_precision, users_mistakes
from ghostexp.config.cli import UserError
from ghostexp.config.facts import complete_facts
from ghostexp.sweeps.sweep import FrozenJob, check_devices, is_finished

log = logging.getLogger(__name__)

Facts = tuple[int, tuple[int, int, int]]  # training examples, shape of one as the network sees it


@dataclass(frozen=True)
class Plan:
    """One grid point that can run: its size, and its cost on this machine."""

    name: str
    params: int
    macs: int
    hours: float
    gib: float
    finished: bool


def preflight(jobs: list[FrozenJob]) -> list[Plan]:
    """Plans of all jobs, shown as a table; `UserError` with a sentence for each that cannot run."""
    known: dict[str, Facts] = {}
    plans, errors = [], []
    for job in jobs:
        try:
            plans.append(_plan(job, known))
        except UserError as error:
            errors.append(f"{job.name}: {error}")
    if errors:
        sentences = "\n  ".join(errors)
        raise UserError(
            f"{len(errors)} of {len(jobs)} jobs cannot run, so none was started:\n  {sentences}"
        )
    _show(plans)
    return plans


def _plan(job: FrozenJob, known: dict[str, Facts]) -> Plan:
    cfg = job.config.copy()
    with open_dict(cfg):
        cfg.run_dir = str(job.directory)
    audit(cfg, job.config_folders)
    complete_facts(cfg)
    check_devices(cfg.trainer)
    net = build_network(cfg)
    num_train, shape = _facts(cfg, known)
    with users_mistakes("model"):
        params, macs = count_params(net), count_macs(net, shape)
    finished = is_finished(job.directory)
    cost = StepCost(0.0, 0)
    if not finished:
        bf16 = "bf16" in str(resolve_precision(cfg.trainer.precision))
        cost = step_cost(net, shape, batch_size=cfg.dataset.batch_size, bf16=bf16)
    steps = num_train / cfg.dataset.batch_size * cfg.trainer.max_epochs
    hours = cost.seconds * steps / 3600
    return Plan(job.name, params, macs, hours, cost.activation_bytes / 2**30, finished)


def _facts(cfg: DictConfig, known: dict[str, Facts]) -> Facts:
    """Of the config's data set, which is loaded the first time it is met."""
    facts = OmegaConf.to_container(cfg.dataset, resolve=True)
    facts.pop("seed", None)  # another order of the same images
    key = json.dumps(facts, sort_keys=True)
    if key not in known:
        datamodule = build(cfg.dataset, "dataset")
        with users_mistakes("dataset"):
            datamodule.prepare_data()
            datamodule.setup("fit")
        known[key] = (datamodule.num_train, datamodule.input_shape)
    return known[key]


def _show(plans: list[Plan]) -> None:
    to_do = [plan for plan in plans if not plan.finished]
    hours = sum(plan.hours for plan in to_do)
    title = f"{len(to_do)} of {len(plans)} jobs to do, about {_duration(hours)} one after the other"
    table = Table("job", "params", "macs", "activations", "time", title=title)
    for plan in plans:
        time = "finished" if plan.finished else _duration(plan.hours)
        memory = "" if plan.finished else f"{plan.gib:.2f} GiB"
        table.add_row(plan.name, f"{plan.params:,}", f"{plan.macs / 1e6:,.1f} M", memory, time)
    Console(stderr=True).print(table)


def _duration(hours: float) -> str:
    if hours >= 1:
        return f"{hours:.1f} h"
    return f"{hours * 60:.0f} min" if hours * 60 >= 1 else f"{hours * 3600:.0f} s"
