"""The cost of a network as tables of text."""

from rich.table import Table

from ghostexp.analysis.complexity import THOP_PER_NORM_ELEMENT
from ghostexp.analysis.complexity_report import NetworkCost, dense_layers
from ghostexp.analysis.published_costs import PublishedCost, agrees, printed_value

DETECTOR_PARTS = {  # names in torchvision's detectors
    "backbone.body": "backbone",
    "backbone.fpn": "neck: feature pyramid",
    "rpn": "head: region proposals",
    "roi_heads": "head: classes and boxes of proposals",
    "head": "head: classes and boxes",
}

TOTALS = (  # label, field of NetworkCost, format
    ("params", "params", "{:,}"),
    ("  trainable", "trainable", "{:,}"),
    ("  frozen", "frozen", "{:,}"),
    ("macs", "macs", "{:,}"),
    ("  outside of layers, such as attention", "products", "{:,}"),
    (f"thop figure (macs + {THOP_PER_NORM_ELEMENT} per batch norm element)", "thop", "{:,}"),
    ("model size, MiB (parameters and buffers)", "size_mib", "{:,.3f}"),
    ("activations, MiB per image (saved for backward)", "activation_mib", "{:,.3f}"),
)


def totals_table(cost: NetworkCost, twin: NetworkCost | None, title: str) -> Table:
    """Totals, beside the dense twin's with the factor between them."""
    table = Table("", "this network", title=title, title_justify="left")
    table.columns[1].justify = "right"
    if twin is not None:
        table.add_column("dense twin", justify="right")
        table.add_column("times fewer", justify="right")
    for label, key, form in TOTALS:
        mine = getattr(cost, key)
        if key == "products" and not mine:
            continue
        cells = [label, form.format(mine)]
        if twin is not None:
            cells += [form.format(getattr(twin, key)), _factor(getattr(twin, key), mine)]
        table.add_row(*cells)
    return table


def parts_table(cost: NetworkCost) -> Table:
    """A row for each part of a detector: backbone, neck and heads, with its share of the macs."""
    table = Table("part", title="Parts", title_justify="left")
    for name in ("params", "macs", "share of macs"):
        table.add_column(name, justify="right")
    for prefix, part in DETECTOR_PARTS.items():
        layers = [layer for layer in cost.layers if layer.name.startswith(f"{prefix}.")]
        if layers:
            params, macs = (
                sum(getattr(each, key) for each in layers) for key in ("params", "macs")
            )
            table.add_row(part, f"{params:,}", f"{macs:,}", f"{macs / cost.macs:.1%}")
    return table


def layers_table(cost: NetworkCost, twin: NetworkCost | None) -> Table:
    """One row per layer, with the macs of the dense convolution beside each Ghost module."""
    table = Table("layer", "type", "output", title="Layers", title_justify="left")
    for name in ("params", "frozen", "macs", "of it cheap", "thop"):
        table.add_column(name, justify="right")
    if twin is not None:
        table.add_column("dense macs", justify="right")
        table.add_column("times fewer", justify="right")
    dense = dense_layers(cost, twin)
    for layer in cost.layers:
        counts = (layer.params, layer.frozen, layer.macs, layer.cheap_macs, layer.thop)
        cells = [layer.name, layer.type, "x".join(map(str, layer.out_shape))]
        cells += [f"{count:,}" if count else "" for count in counts]
        if other := dense.get(layer.name):
            cells += [f"{other.macs:,}", _factor(other.macs, layer.macs)]
        table.add_row(*cells)
    return table


def published_table(cost: NetworkCost, published: list[PublishedCost]) -> Table:
    """Printed figures beside the counts; "exact" where a rounded count gives every digit."""
    table = Table(title="Beside the printed figures", title_justify="left")
    for name in ("source", "figure", "printed", "counted", "difference", "why"):
        table.add_column(name, justify="right" if name in ("printed", "counted") else "left")
    for figure in published:
        for name, printed in (("params", figure.params), (figure.convention, figure.compute)):
            if printed is None:
                continue
            count = getattr(cost, name)
            difference = _difference(printed, count)
            why = "" if difference == "exact" else figure.remark
            table.add_row(figure.source, name, printed, f"{count:,}", difference, why)
    return table


def _factor(dense: float, ours: float) -> str:
    return f"{dense / ours:.2f}" if ours else ""


def _difference(printed: str, count: int) -> str:
    if agrees(printed, count):
        return "exact"
    return f"{count / printed_value(printed)[0] - 1:+.1%}"
