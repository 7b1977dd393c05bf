"""Before a sweep's first job: every grid point is checked, built and costed.

Job nine of nine must not die of a typing error after six hours. Everything that a job builds is
built, and one loss of a batch of noise is computed and differentiated. What several points share is
built, tried and loaded once.
"""

import json
import logging
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

from omegaconf import DictConfig, OmegaConf, open_dict
from rich.console import Console
from rich.progress import track
from rich.table import Table
from torch import nn

from ghostexp.analysis.complexity import count_macs, count_params
from ghostexp.analysis.estimate import StepCost, step_cost
from ghostexp.config.audit import audit
from ghostexp.config.build import Parts, build_network, build_parts, check_optimisation
from ghostexp.config.explain import UserError
from ghostexp.config.facts import complete_facts
from ghostexp.config.first_step import check_examples, check_first_step
from ghostexp.config.mistakes import sentence, users_mistakes
from ghostexp.config.pretrained import forget_fetched_weights, settings_of_hubs
from ghostexp.config.targets import targets
from ghostexp.download import NotDownloaded, is_offline
from ghostexp.results.identity import result_part
from ghostexp.results.wording import clock
from ghostexp.sweeps.decision import decide
from ghostexp.sweeps.job import Job
from ghostexp.sweeps.outcome import some
from ghostexp.sweeps.twins import FinishedRuns
from ghostexp.training import stopping

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Facts:
    """What the jobs need to know of a data set: its size, and an example as the network sees it."""

    num_train: int
    num_test: int
    input_shape: tuple[int, int, int]


@dataclass(frozen=True)
class Plan:
    """One grid point that can run: its size, and its cost on this machine."""

    name: str
    params: int
    macs: int
    seconds: float
    gib: float
    finished: bool
    twin: Path | None = None  # another folder with the same finished run


def preflight(jobs: list[Job]) -> None:
    """Show the plans of all jobs as a table; `UserError` with a sentence for each cause of refusal.

    What a job's config leaves to its data is filled in. Nothing is written but what a data set
    downloads. Where nothing may be downloaded, a sentence says which jobs could not be tried.
    """
    known = Known()
    plans: list[Plan] = []
    errors: dict[str, list[str]] = {}
    untried: dict[str, list[str]] = {}
    console = Console(stderr=True, force_jupyter=False)
    is_quiet = not sys.stderr.isatty()  # a notebook says that it takes colours, but draws no bars
    for job in track(jobs, "checking all jobs", console=console, transient=True, disable=is_quiet):
        stopping.check()
        try:
            plans.append(_plan(job, known))
        except UserError as error:
            kind = untried if _lacks_a_download(error) else errors
            kind.setdefault(str(error), []).append(job.name)
    if errors:
        count = sum(map(len, errors.values()))
        sentences = "\n  ".join(f"{some(names)}: {text}" for text, names in errors.items())
        raise UserError(
            f"{count} of {len(jobs)} jobs cannot run, so none was started:\n  {sentences}"
        )
    if plans:
        _show(plans, console)
    for text, names in untried.items():
        told = f"{some(names)}: no training step was tried, and the time is unknown: {text}"
        console.print(told, markup=False, soft_wrap=True)


@dataclass
class Known:
    """What the points before have shown: points that share a part need not try it again."""

    facts: dict[str, Facts] = field(default_factory=dict)  # by data set
    nets: dict[str, nn.Module] = field(default_factory=dict)  # by model
    sizes: dict[str, tuple[int, int]] = field(default_factory=dict)  # by model and input
    costs: dict[str, StepCost] = field(default_factory=dict)  # by all that a step computes
    runs: FinishedRuns = field(default_factory=FinishedRuns)


def _plan(job: Job, known: Known) -> Plan:
    audit(job.config, job.config_folders, job.augmentation)
    complete_facts(job.config)  # before it is frozen
    earlier = decide(job)
    cfg = job.config.copy()
    model = _key(cfg.model)
    with tempfile.TemporaryDirectory() as folder, open_dict(cfg):
        cfg.run_dir = folder  # what a logger or callback might make when it is built
        if is_offline():
            _leave_out_downloads(cfg)
        if model not in known.nets:
            known.nets = {model: build_network(cfg)}  # the last one: a sweep may have many
        parts = build_parts(cfg, net=known.nets[model])
    check_optimisation(parts.task)
    facts = _facts(cfg, parts, known.facts)
    check_examples(parts, facts.num_test)
    params, macs = _size(parts, model, facts.input_shape, known.sizes)
    if earlier.finished is not None:
        return Plan(job.name, params, macs, 0.0, 0.0, finished=True)
    cost = _cost(cfg, parts, facts, known)
    steps = facts.num_train / cfg.dataset.batch_size * cfg.trainer.max_epochs
    gib = cost.activation_bytes / 2**30
    twin = None if job.config.rerun else known.runs.twin(job)
    return Plan(job.name, params, macs, cost.seconds * steps, gib, finished=False, twin=twin)


def _leave_out_downloads(cfg: DictConfig) -> None:
    """Let networks be built without what torchvision, timm or a hub would fetch for them.

    Weights change neither the size nor the time of a network.
    """
    with users_mistakes("model"):
        for path, node in targets(cfg):
            for setting in settings_of_hubs(node, path):
                raise NotDownloaded(f"{setting} is on a hub, and this command downloads nothing")
    for setting in forget_fetched_weights(cfg):
        log.warning("%s: this command downloads nothing, so these weights were not tried", setting)


def _size(
    parts: Parts, model: str, shape: tuple[int, int, int], known: dict[str, tuple[int, int]]
) -> tuple[int, int]:
    """Parameters and multiply-adds of the network."""
    key = f"{model} {shape}"
    if key not in known:
        with users_mistakes("model"):
            known[key] = count_params(parts.task.net), count_macs(parts.task.net, shape)
    return known[key]


def _cost(cfg: DictConfig, parts: Parts, facts: Facts, known: Known) -> StepCost:
    """Cost of a training step, which is tried first; `UserError` where it fails."""
    shape, batch_size = facts.input_shape, cfg.dataset.batch_size
    bf16 = "bf16" in str(parts.trainer.precision)
    key = f"{_key(cfg.model)} {_key(cfg.task)} {shape} {batch_size} {bf16}"
    if key not in known.costs:
        check_first_step(parts, batch_size)
        net, loss = parts.task.net, parts.task.trial_loss
        try:
            known.costs[key] = step_cost(net, loss, shape, batch_size=batch_size, bf16=bf16)
        except (RuntimeError, FloatingPointError) as error:  # too little memory, among others
            raise UserError(f"a training step fails: {sentence(error)}") from error
        net.cpu().zero_grad(set_to_none=True)
    return known.costs[key]


def _key(node: DictConfig) -> str:
    return json.dumps(OmegaConf.to_container(node, resolve=True), sort_keys=True, default=str)


def _facts(cfg: DictConfig, parts: Parts, known: dict[str, Facts]) -> Facts:
    """Facts of the config's data set, which is loaded the first time it is met."""
    dataset = OmegaConf.to_container(cfg.dataset, resolve=True)
    facts = result_part({"dataset": dataset})["dataset"]
    facts.pop("seed", None)  # another order of the same images
    key = json.dumps(facts, sort_keys=True)
    if key not in known:
        with users_mistakes("dataset"):
            parts.datamodule.prepare_data()
            parts.datamodule.setup("fit")
        data = parts.datamodule
        known[key] = Facts(data.num_train, data.num_test, data.input_shape)
    return known[key]


def _lacks_a_download(error: BaseException | None) -> bool:
    """Whether what is missing could be downloaded, if that were allowed."""
    return error is not None and (
        isinstance(error, NotDownloaded) or _lacks_a_download(error.__cause__)
    )


def _show(plans: list[Plan], console: Console) -> None:
    to_do = [plan for plan in plans if not plan.finished]
    seconds = sum(plan.seconds for plan in to_do)
    title = f"{len(to_do)} of {len(plans)} jobs to do, about {clock(seconds)} one after the other"
    table = Table(title=title)
    table.add_column("job", overflow="fold")  # names of jobs differ at their ends
    for name in ("params", "macs", "activations", "time"):
        table.add_column(name, no_wrap=True)
    for plan in plans:
        time = "finished" if plan.finished else clock(plan.seconds)
        memory = "" if plan.finished else f"{plan.gib:.2f} GiB"
        table.add_row(plan.name, f"{plan.params:,}", f"{plan.macs / 1e6:,.1f} M", memory, time)
    console.print(table)
    for plan in to_do:
        if plan.twin is not None:
            same = f"the finished run {plan.twin.name}: all values are the same"
            console.print(f"{plan.name} repeats {same}", markup=False, soft_wrap=True)
