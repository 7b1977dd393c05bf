"""Times for the pages of docs/: what was measured into outputs/published, as text."""

import json
from collections.abc import Sequence
from functools import cache
from math import ceil
from statistics import median
from typing import Any

from facts import PUBLISHED, markdown, network, run, share

from ghostexp.analysis.step_latency import NATIVE
from ghostexp.results import conversion_report, engine_table, loader_table, step_table


def measured_steps(name: str) -> str:
    """The tables of `benchmark steps --out`."""
    return step_table.to_markdown(_document(name, "steps.json"))


def measured_engines(name: str) -> str:
    """The tables of `benchmark engines --out`."""
    return engine_table.to_markdown(_document(name, "engines.json"))


def measured_loaders(name: str, file: str = "loader.json") -> str:
    """The tables of `benchmark loader --out`."""
    return loader_table.to_markdown(_document(name, file))


def loader_gain(name: str, loader: str, workers: int, what: str = "cpu_seconds") -> str:
    """How many times as fast a loader is as the faster of torchvision's and timm's."""
    rows = [row for row in _document(name, "loader.json")["rows"] if row["workers"] == workers]
    (ours,) = (row for row in rows if row["loader"] == loader)
    return f"{loader_table.gain(ours, rows, what):.2f}"


def loader_rate(name: str, loader: str) -> float:
    """Images that one core loads per second, with one worker."""
    rows = _document(name, "loader.json")["rows"]
    (ours,) = (row for row in rows if (row["loader"], row["workers"]) == (loader, 1))
    return loader_table.rate(ours, "cpu_seconds")


def decoding_cores(name: str, loader: str) -> str:
    """What 240 epochs of ImageNet need for a few numbers of days, as a table."""
    heads = ["days for 240 epochs", "images/s", "per GPU of 8", "read, at 110 kB per photo"]
    rows = [[*heads, "cores that load"]]
    for days in (1, 2, 4):
        images = 240 * 1_281_167 / (days * 86_400)
        cores = ceil(images / loader_rate(name, loader))
        read = f"{images * 0.11:,.0f} MB/s"
        rows.append([f"{days}", f"{images:,.0f}", f"{images / 8:,.0f}", read, f"{cores}"])
    return markdown(rows)


def engine_ratio(name: str, title: str, form: str, digits: int = 2) -> str:
    """How many times as fast a network is in an engine as the first network of its group."""
    rows = _document(name, "engines.json")["rows"]
    (found,) = (r["speed_ratio"] for r in rows if (r["network"], r["form"]) == (title, form))
    return f"{found:.{digits}f}"


def accuracy_and_speed(folder: str, name: str, networks: dict[str, str]) -> str:
    """Accuracy of the runs in a folder beside the speed of the same networks in engines.

    `networks` gives for each run the network's name in the file of `benchmark engines`.
    """
    engines = {
        "eager": "torch",
        "onnxruntime": "ONNX Runtime",
        "openvino": "OpenVINO",
        "native": "native (ours)",
    }
    heads = ["network", "MACs, M", "test accuracy, %", "latency, ms", *engines.values()]
    rows = []
    for path, title in networks.items():
        facts = [
            title,
            f"{network(f'{folder}/{path}', 'macs') / 1e6:.1f}",
            share(f"{folder}/{path}"),
        ]
        latency = run(f"{folder}/{path}").record["latency_ms"]
        ratios = [engine_ratio(name, title, form) for form in engines]
        rows.append([*facts, f"{latency:.2f}", *ratios])
    return markdown([heads, *rows])


def conversions(folder: str) -> str:
    """A row for each conversion by measurement in a folder: the whole network, and its parts."""
    heads = ["network, engine, batch, threads", "convolutions as Ghost modules", "dense, ms"]
    heads += ["converted, ms", "times as fast, by round", "predicted", "times fewer MACs"]
    paths = sorted((PUBLISHED / folder).glob("*/conversion.json"))
    return markdown([heads, *(_conversion(json.loads(path.read_text())) for path in paths)])


def _conversion(document: dict[str, Any]) -> list[str]:
    whole = document["network"]
    dense, converted = median(whole["dense"]), median(whole["converted"])
    gains = conversion_report.gains(whole)
    count = conversion_report.count_converted(document)
    total = sum(len(layer["names"]) for layer in document["layers"])
    return [
        document["setting"],
        f"{count} of {total}",
        f"{1e3 * dense:.2f}",
        f"{1e3 * converted:.2f}",
        f"**{dense / converted:.2f}** [{min(gains):.2f}-{max(gains):.2f}]" if count else "no gain",
        f"{dense / whole['predicted']:.2f}" if count else "",
        f"{whole['dense_macs'] / whole['converted_macs']:.2f}",
    ]


def step_gain(name: str, network: str, precision: str, others: str = "") -> str:
    """How many times as fast a native step is as the fastest other form, by the medians.

    `others` is how the names of the other forms begin.
    """
    rows = _document(name, "steps.json")["rows"]
    chosen = [r for r in rows if r["network"] == network and precision in r["setting"]]
    medians = {each["form"]: median(each["seconds"]) for each in chosen}
    beside = [t for form, t in medians.items() if form != NATIVE and form.startswith(others)]
    return f"{min(beside) / medians[NATIVE]:.2f}"


@cache
def _document(name: str, file: str) -> dict[str, Any]:
    return json.loads((PUBLISHED / name / file).read_text())


@cache
def timings(name: str) -> dict[tuple[str, str, int, int], dict[str, Any]]:
    """What `benchmark.py infer` measured: (network, form, batch, threads) -> its row."""
    rows = _document(name, "inference.json")["rows"]
    return {(r["network"], r["form"], r["batch_size"], r["threads"]): r for r in rows}


def times(name: str, form: str, batch: int, threads: int, network: str = "") -> float:
    """How many times as fast as its reference a network is (the first one if none is named)."""
    known = timings(name)
    network = network or next(key[0] for key in known if known[key]["reference"] != key[0])
    return known[network, form, batch, threads]["speed_ratio"]


def span(name: str, *, but: Sequence[str] = (), network: str = "") -> str:
    """`0.22 to 1.05`: slowest and fastest of all forms and settings, without the forms `but`."""
    ratios = [
        measured["speed_ratio"]
        for key, measured in timings(name).items()
        if measured["reference"] != key[0] and key[1] not in but and network in ("", key[0])
    ]
    return f"{min(ratios):.2f} to {max(ratios):.2f}"


def speed_table(name: str, settings: Sequence[tuple[int, int]], forms: dict[str, str]) -> str:
    """A row per form: times of network and reference, and their ratio, for each setting."""
    known = timings(name)
    network = next(key[0] for key in known if known[key]["reference"] != key[0])
    heads = ["form"]
    for batch, threads in settings:
        setting = f"batch {batch}, {threads} thread{'s' if threads > 1 else ''}"
        heads += [f"{setting}: Ghost, dense, ms", "times as fast"]
    rows = []
    for form, title in forms.items():
        cells = [title]
        for batch, threads in settings:
            ours = known[network, form, batch, threads]
            theirs = known[ours["reference"], form, batch, threads]
            digits = 2 if batch == 1 else 1
            cells.append(f"{ours['ms']:.{digits}f}, {theirs['ms']:.{digits}f}")
            cells.append(f"{ours['speed_ratio']:.2f}")
        rows.append(cells)
    return markdown([heads, *rows])


def macs_ratio(name: str) -> str:
    """How many times as many MACs the reference has as the network that is compared."""
    return (
        f"{next(r['macs_ratio'] for k, r in timings(name).items() if r['reference'] != k[0]):.2f}"
    )


def milliseconds(name: str, network: str, form: str) -> str:
    """One image on one thread."""
    return f"{timings(name)[network, form, 1, 1]['ms']:.2f}"


def native_gain(name: str, threads: int) -> str:
    """Our engine with the Ghost network beside the fastest dense fp32 form of a stock engine."""
    known = timings(name)
    ours = min(r["ms"] for k, r in known.items() if k[1:] == ("native", 128, threads))
    stock = [
        measured["ms"]
        for (network, form, batch, count), measured in known.items()
        if (batch, count) == (128, threads)
        and (form != "native" and measured["lossless"] and measured["reference"] == network)
    ]
    return f"{min(stock) / ours:.2f}"
