"""latency.json in a run's folder, what the report makes of it, and the files of a benchmark."""

import json

import pytest

from ghostexp.results.formats import to_markdown
from ghostexp.results.latency_file import document, read_latency, write_latency
from ghostexp.results.latency_report import draw_ratios, write_measurements
from ghostexp.results.report import report_on


def row(network="ghost", form="eager", ms=2.0, batch_size=1, threads=1, **fields):
    return {
        "network": network,
        "form": form,
        "batch_size": batch_size,
        "threads": threads,
        "params": 10,
        "macs": 100,
        "lossless": form != "bf16",
        "reference": "dense",
        "macs_ratio": 1.0 if network == "dense" else 1.9,
        "ms": ms,
        "fastest_ms": ms,
        "slowest_ms": ms,
        "images_per_s": 1e3 * batch_size / ms if ms else None,
        "speed_ratio": 3.0 / ms if ms else None,
        "low": 1.0,
        "high": 2.0,
        "note": "" if ms else "RuntimeError: no compiler",
    } | fields


ROWS = [
    row(),
    row("dense", ms=3.0),
    row(form="openvino", ms=0.5),
    row("dense", form="openvino", ms=0.4),
    row(form="bf16", ms=0.1),
    row("dense", form="bf16", ms=0.2),
    row(form="compile", ms=None),
    row("dense", form="compile", ms=None),
    row(form="openvino", ms=0.2, threads=2),
    row("dense", form="openvino", ms=0.4, threads=2),
    row(form="openvino", ms=9.0, batch_size=128),
    row("dense", form="openvino", ms=9.0, batch_size=128),
]


def test_the_latency_of_a_run_is_the_fastest_in_float32_of_one_image_on_one_thread(tmp_path):
    assert read_latency(tmp_path) == {}
    write_latency(tmp_path, "ghost", document(ROWS, "a machine", "a command"))
    saying = "one image, one thread, openvino, a machine"
    assert read_latency(tmp_path) == {"latency_ms": 0.5, "latency_of": saying}
    assert json.loads((tmp_path / "latency.json").read_text())["rows"] == ROWS


def test_without_such_a_time_nothing_is_written(tmp_path):
    with pytest.raises(ValueError, match="--batch 1 --threads 1"):
        write_latency(tmp_path, "ghost", document(ROWS[4:], "", ""))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "text",
    [
        "{",
        "{}",
        "[]",
        '{"latency_ms": "x", "latency_of": ""}',
        '{"latency_ms": NaN, "latency_of": ""}',
    ],
)
def test_a_broken_file_is_named(tmp_path, text):
    (tmp_path / "latency.json").write_text(text)
    with pytest.raises(ValueError, match="latency.json holds no latency"):
        read_latency(tmp_path)


def test_the_report_shows_it_beside_macs_and_says_of_what(make_run, tmp_path):
    folders = [make_run(f"ratio={ratio}", ratio) for ratio in (2, 3)]
    assert "latency" not in to_markdown(report_on(tmp_path / "runs"), {})
    write_latency(folders[0], "ghost", document(ROWS, "machine A", ""))
    text = to_markdown(report_on(tmp_path / "runs"), {})
    assert r"latency, ms \[" in text
    assert "one image, one thread, openvino, machine A" in text
    assert " 0.50 " in text
    write_latency(folders[1], "ghost", document(ROWS[:2], "machine B", ""))
    text = to_markdown(report_on(tmp_path / "runs"), {})
    assert "| latency, ms |" in text  # two circumstances: each cell has its own mark
    assert r"0.50 \[" in text
    assert r"2.00 \[" in text
    assert "one thread, eager, machine B" in text


def test_files_table_and_figure_of_a_benchmark(tmp_path):
    command = "benchmark.py infer model.net={_target_:a,b:c}"
    paths = write_measurements(document(ROWS, "a machine", command), tmp_path / "out")
    assert [path.name for path in paths] == ["inference.json", "inference.md", "inference.png"]
    lines = paths[1].read_text().splitlines()
    assert lines[0].startswith("a machine; fastest to slowest in brackets; 20")
    assert lines[2] == "    benchmark.py infer 'model.net={_target_:a,b:c}'"  # for a shell
    assert [line for line in lines if line.startswith("**")] == [
        "**batch 1, 1 thread**",
        "**batch 1, 2 threads**",
        "**batch 128, 1 thread**",
    ]
    eager, openvino, bf16, compiled = (line for line in lines[4:12] if "ghost" in line)
    cells = "| 2.00 [2.00-2.00] | 500 | dense | 3.00 [3.00-3.00] | 1.50 [1.00-2.00] | 1.90 |"
    assert eager == "| eager | ghost " + cells
    assert "| 0.50 [0.50-0.50] | 2,000 | dense | 0.40 [0.40-0.40] |" in openvino
    assert "| RuntimeError: no compiler |  | dense |" in compiled
    figure = draw_ratios(ROWS)
    assert [axes.get_title() for axes in figure.axes] == [
        "batch 1, 1 thread",
        "batch 1, 2 threads",
        "batch 128, 1 thread",
    ]
    drawn = [row for row in ROWS if row["speed_ratio"] and row["network"] == "ghost"]
    ends = [max(row["high"], row["macs_ratio"]) for row in drawn]
    assert all(axes.get_xlim()[1] > max(ends) for axes in figure.axes)
    assert draw_ratios([row("dense")]) is None
