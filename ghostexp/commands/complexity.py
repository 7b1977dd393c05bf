"""What a network costs in params, macs, thop's figure and memory: each layer, and their sum.

ghostexp complexity model=ghost_resnet56                    beside its dense twin
ghostexp complexity model=ghostnet dataset.image_size=224 dataset.num_classes=1000
ghostexp complexity model=ghostnet dataset=fsdd             spectrograms
ghostexp complexity model=faster_rcnn_ghostnet dataset=coco  by backbone, neck and heads
ghostexp complexity model=converted --plan                  what is converted, and why
ghostexp complexity experiment=detectors_bccd               data and sizes of an experiment

Overrides are words of train.py, on CIFAR-10 unless they choose otherwise; no data need be there.
"""

import argparse
import csv
import json
import sys
from typing import Any

from omegaconf import DictConfig, OmegaConf
from rich.table import Table
from torch import nn

from ghostexp.analysis.complexity_report import (
    NetworkCost,
    as_json,
    describe_network,
    layer_rows,
)
from ghostexp.analysis.complexity_tables import (
    layers_table,
    parts_table,
    published_table,
    totals_table,
)
from ghostexp.analysis.published_costs import PublishedCost, find_published_costs
from ghostexp.config import cli
from ghostexp.config.build import build_network, dense_twin, input_shape
from ghostexp.config.explain import UserError
from ghostexp.config.facts import completed_config
from ghostexp.config.mistakes import users_mistakes
from ghostexp.config.printer import Printer, table_printer
from ghostexp.models import ConversionRow, plan_conversion

PLAN_ARGUMENTS = ("ratio", "cheap_kernel_size", "skip", "only", "inner_norm", "image_size")
WIDTH_OF_A_PIPE = 200
BACKBONE_SIDE = 224


@cli.script
def main(arguments: list[str] | None = None) -> int:
    """Exit code: 1 with one sentence for a user's slip, else 0."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("overrides", nargs="*", help="as for train.py")
    output = parser.add_mutually_exclusive_group()
    output.add_argument("--json", action="store_true", help="everything, as JSON")
    output.add_argument("--csv", action="store_true", help="the layers, as CSV")
    output.add_argument("--plan", action="store_true", help="replaced and kept convolutions")
    options = parser.parse_intermixed_args(arguments)
    chosen = any(o.startswith("experiment=") for o in options.overrides)
    cfg = completed_config([*([] if chosen else ["dataset=cifar10"]), *options.overrides])
    if options.plan:
        print_plan(cfg)
    else:
        report(cfg, options)
    return 0


def report(cfg: DictConfig, options: argparse.Namespace) -> None:
    """Print the costs in the form asked for."""
    shape = input_shape(cfg)
    if _is_detector(cfg):  # it resizes its images
        shape = (3, cfg.model.min_size, cfg.model.max_size)
    dense = dense_twin(cfg)
    with users_mistakes("model"):
        net = build_network(cfg)
        cost = describe_network(net, shape)
        twin = describe_network(dense, shape) if dense is not None else None
    settings = OmegaConf.to_container(cfg.model, resolve=True)
    factory = settings["_target_"].rpartition(".")[2]
    published = find_published_costs(factory, settings, shape)
    if options.json:
        print(json.dumps(as_json(cost, twin, published), indent=2))
    elif options.csv:
        _print_csv(layer_rows(cost, twin))
    else:
        console = _console()
        size = "x".join(map(str, shape))
        title = f"{factory}, {size}, {cfg.dataset.num_classes} classes"
        console.print(layers_table(cost, twin))
        console.print(totals_table(cost, twin, title))
        if not _is_detector(cfg):
            _print_comparison(console, cost, twin, published)
            return
        console.print(parts_table(cost))
        if "backbone" in settings:
            print_backbone(console, net.backbone.body, settings["backbone"])


def _is_detector(cfg: DictConfig) -> bool:
    return "min_size" in cfg.model


def _print_csv(rows: list[dict[str, Any]]) -> None:
    writer = csv.DictWriter(sys.stdout, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)


def _print_comparison(
    console: Printer,
    cost: NetworkCost,
    twin: NetworkCost | None,
    published: list[PublishedCost],
) -> None:
    """The printed figures beside ours, and what there is nothing to compare with."""
    if twin is None:
        console.print("No dense twin: the network has no ratio above 1 to set to 1.")
    if published:
        console.print(published_table(cost, published))
    else:
        console.print("No printed figures are known for this network with these settings.")


def print_backbone(console: Printer, body: nn.Module, settings: dict[str, Any]) -> None:
    """The backbone alone at the size of ImageNet's images, for which the papers print its cost."""
    shape = (3, BACKBONE_SIDE, BACKBONE_SIDE)
    cost = describe_network(body, shape)
    factory = settings["_target_"].rpartition(".")[2]
    size = f"{BACKBONE_SIDE}x{BACKBONE_SIDE}"
    console.print(totals_table(cost, None, f"Backbone alone: {factory}, {size}"))
    published = find_published_costs(factory, settings, shape)
    if published:
        console.print(published_table(cost, published))


def print_plan(cfg: DictConfig) -> None:
    """Every convolution of the dense network, whether it is replaced, and why."""
    net = dense_twin(cfg)
    if net is None:
        raise UserError("--plan shows a conversion: choose a model with a ratio above 1")
    given = OmegaConf.to_container(cfg.model, resolve=True)
    with users_mistakes("model"):
        plan = plan_conversion(net, **{key: given[key] for key in PLAN_ARGUMENTS if key in given})
    _console().print(_plan_table(plan.rows))


def _plan_table(rows: list[ConversionRow]) -> Table:
    replaced = sum(row.replaced for row in rows)
    title = f"{replaced} of {len(rows)} convolutions replaced"
    table = Table("convolution", "", "params", "after", "why", title=title, title_justify="left")
    for row in rows:
        verdict = "[green]replaced[/]" if row.replaced else "kept"
        after = f"{row.params_after:,}" if row.replaced else ""
        table.add_row(row.name, verdict, f"{row.params_before:,}", after, row.reason)
    table.columns[2].justify = table.columns[3].justify = "right"
    return table


def _console() -> Printer:
    return table_printer(WIDTH_OF_A_PIPE)
