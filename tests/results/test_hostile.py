"""Records with any junk in any field: a report is made, or the record is named as unreadable."""

import io
import json
import random
from typing import Any

import pytest
from rich.console import Console

from ghostexp.results.diff import diff_runs
from ghostexp.results.plots import draw
from ghostexp.results.report import report_on, write_report
from ghostexp.results.style import render
from ghostexp.results.terminal import to_terminal

JUNK = [
    *(None, True, 0, -1, 1.5, "", "x", "$x^$\n|<b>", "a\udcff", "1e999", "9" * 5000),
    *([], [1, [2]], [None], {}, {"a": {"b": 1}}, float("nan"), 10**400, -1e308),
]


def fields(node: Any, above: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    """Paths to all fields of nested mappings."""
    if not isinstance(node, dict):
        return []
    below = [path for key in node for path in fields(node[key], (*above, key))]
    return [(*above, key) for key in node] + below


def spoil(record: dict[str, Any], draws: random.Random) -> None:
    path = draws.choice(fields(record))
    node = record
    for key in path[:-1]:
        node = node[key]
    node[path[-1]] = draws.choice(JUNK)


@pytest.mark.parametrize("seed", range(3))
def test_no_record_breaks_a_report(make_run, tmp_path, seed):
    draws = random.Random(seed)
    error = {"type": "ValueError", "message": "no", "traceback": "Traceback"}
    segments = [{"changed": ["optimizer.lr: 1 -> 2"]}, {}]
    more = {"error": error, "segments": segments, "training": {"images": 5, "seconds": 2.0}}
    folders = [make_run(f"{number}", ratio=number + 1, **more) for number in range(4)]
    originals = [json.loads((folder / "result.json").read_text()) for folder in folders]
    for case in range(25):
        for folder, original in zip(folders[1:], originals[1:], strict=True):
            record = json.loads(json.dumps(original))
            for _ in range(draws.randint(1, 3)):
                spoil(record, draws)
            (folder / "result.json").write_text(json.dumps(record))
        report = report_on(tmp_path / "runs")
        assert len(report.tree.runs) + len(report.tree.unreadable) == 4
        assert sum(len(row.runs) for row in report.rows) == len(report.tree.runs)
        console = Console(file=io.StringIO(), width=80)
        console.print(to_terminal(report, 80))
        console.print(diff_runs(report.tree.runs[0], report.tree.runs[-1]))
        if case == 0:  # pictures take half a second
            write_report(report, tmp_path / "out")
            for figure in draw(report.rows, report.metric).values():
                render(figure, "svg")
